//! `mailshim setup`: the script for each sign-in and cloud is compared with `tests/golden/setup/`, documents to be reviewed
//! as such (`UPDATE_GOLDEN=1 cargo test --test pure setup` writes them anew), parsed by a grammar of PowerShell, and
//! every command and parameter of it looked up in Microsoft's lists.

mod commands;
mod documents;
mod grammar;

use std::path::Path;

use mailshim::testing::cli::setup::{Task, Tool, script_of};

const MAILBOX: (&str, &str) = ("MAILSHIM_MAILBOX", "noreply@contoso.com");
const TENANT: (&str, &str) = ("MAILSHIM_TENANT_ID", "contoso.onmicrosoft.com");
const CLIENT: (&str, &str) = ("MAILSHIM_CLIENT_ID", "8c1f6f3e-0b5d-4d0a-9a43-7f2b1c9e5d60");

type Case = (&'static str, &'static [(&'static str, &'static str)]);

/// Each sign-in and each cloud, with the variables that tell it.
const CASES: &[Case] = &[
    ("secret", &[MAILBOX]),
    ("secret_of_an_application", &[MAILBOX, TENANT, CLIENT, ("MAILSHIM_CLIENT_SECRET_FILE", "/nowhere")]),
    ("certificate", &[MAILBOX, ("MAILSHIM_CLIENT_CERTIFICATE_PATH", "/nowhere")]),
    ("workload", &[MAILBOX, TENANT, ("AZURE_FEDERATED_TOKEN_FILE", "/nowhere")]),
    ("managed", &[MAILBOX, ("MAILSHIM_MANAGED_IDENTITY", "system")]),
    ("managed_by_id", &[MAILBOX, ("MAILSHIM_MANAGED_IDENTITY", CLIENT.1)]),
    ("refresh", &[MAILBOX, ("MAILSHIM_REFRESH_TOKEN_FILE", "/nowhere")]),
    ("password", &[MAILBOX, ("MAILSHIM_PASSWORD", "x")]),
    ("connector", &[("MAILSHIM_AUTH", "none"), ("MAILSHIM_FROM", "Shop <shop@contoso.com>")]),
    (
        "connector_certificate",
        &[
            ("MAILSHIM_AUTH", "none"),
            ("MAILSHIM_FROM", "shop@contoso.com"),
            ("MAILSHIM_HOSTNAME", "mail.contoso.com"),
            ("MAILSHIM_TLS_CERT_FILE", "/nowhere"),
        ],
    ),
    ("gcc_high", &[MAILBOX, ("MAILSHIM_CLOUD", "gcc-high")]),
    ("dod", &[MAILBOX, ("MAILSHIM_CLOUD", "dod"), ("MAILSHIM_AUTH", "certificate")]),
    ("china", &[MAILBOX, TENANT, CLIENT, ("MAILSHIM_CLOUD", "china"), ("MAILSHIM_AUTH", "managed")]),
    ("hve", &[MAILBOX, ("MAILSHIM_CLOUD", "hve")]),
    (
        "outlook_com",
        &[
            ("MAILSHIM_MAILBOX", "ann@outlook.com"),
            ("MAILSHIM_CLOUD", "outlook.com"),
            ("MAILSHIM_AUTH", "refresh"),
        ],
    ),
    (
        "senders",
        &[
            MAILBOX,
            ("MAILSHIM_FROM", "Shop <shop@contoso.com>"),
            ("MAILSHIM_LOGIN_AS_SENDER", "a.o'neil@contoso.com, *@fabrikam.com"),
        ],
    ),
];

fn script(vars: &[(&str, &str)], task: Task, tool: Tool) -> String {
    let vars = vars.iter().map(|(name, value)| (name.into(), value.into()));
    script_of(vars, task, tool).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Every script there is, with its name.
fn all() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (name, vars) in CASES {
        for (task, tool, end) in [
            (Task::Make, Tool::Graph, ""),
            (Task::Undo, Tool::Graph, "_undo"),
            (Task::Make, Tool::Az, "_az"),
            (Task::Undo, Tool::Az, "_az_undo"),
        ] {
            all.push((format!("{name}{end}"), script(vars, task, tool)));
        }
    }
    all
}

#[test]
fn each_script_is_the_golden_one() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/setup");
    let mut wrong = Vec::new();
    let mut kept: Vec<_> = Vec::new();
    for (name, text) in all() {
        // With the Azure CLI each way once more, but not each cloud's and each undo.
        let is_variant = name.contains("_az")
            && ![
                "secret_az",
                "secret_az_undo",
                "certificate_az",
                "workload_az",
                "managed_az",
                "refresh_az",
                "gcc_high_az",
            ]
            .contains(&name.as_str());
        if is_variant {
            continue;
        }
        let path = folder.join(format!("{name}.ps1"));
        kept.push(format!("{name}.ps1"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &text).unwrap();
        } else if std::fs::read_to_string(&path).unwrap_or_default() != text {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "UPDATE_GOLDEN=1 writes them anew: {wrong:?}");
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(kept.contains(&name), "{name} belongs to no case");
    }
}

#[test]
fn each_script_is_powershell() {
    for (name, text) in all() {
        assert_eq!(grammar::mistakes(&text), Vec::<String>::new(), "{name}\n{text}");
    }
    assert_ne!(grammar::mistakes("if ($a { 'never closed' "), Vec::<String>::new());
}

#[test]
fn each_command_and_parameter_exists() {
    for (name, text) in all() {
        for command in grammar::commands(&text) {
            assert_eq!(commands::unknown(&command), None, "{name}: {command:?}");
        }
    }
    let wrong = grammar::commands("New-ServicePrincipal -AppId 'x' -ServiceObject 'y' -ErrorAction Stop");
    assert!(commands::unknown(&wrong[0]).is_some(), "{wrong:?}");
}

/// A module's functions do not see the script's `$ErrorActionPreference`: each must be told to stop.
#[test]
fn whatever_fails_stops_the_script() {
    for (name, text) in all() {
        for command in grammar::commands(&text) {
            let is_theirs = commands::is_microsofts(&command.name);
            let stops = command.parameters.iter().any(|parameter| parameter == "ErrorAction");
            assert!(!is_theirs || stops, "{name}: {command:?}");
            let goes_by = command.name != "az" || command.words == ["@args"];
            assert!(goes_by, "{name}: az goes through Invoke-Az, which throws: {command:?}");
        }
        assert!(
            !text.contains("SilentlyContinue") || text.contains("-WarningAction 'SilentlyContinue'"),
            "{name}"
        );
    }
}

/// What a variable says stands in single quotes, in the head, and nowhere else.
#[test]
fn a_value_cannot_become_a_command() {
    let evil = "$(Remove-Mailbox).x'y@contoso.com";
    let quoted = "$(Remove-Mailbox).x''y@contoso.com";
    for (task, tool) in [(Task::Make, Tool::Graph), (Task::Undo, Tool::Az)] {
        let senders = [MAILBOX, ("MAILSHIM_LOGIN_AS_SENDER", "x'$y`z@contoso.com")];
        let Ok(text) = script_of(senders.map(|(name, value)| (name.into(), value.into())), task, tool) else {
            continue;
        };
        assert!(!text.contains("x'$y") && text.contains("x''''$y`z@contoso.com'"), "{text}");
        assert_eq!(grammar::mistakes(&text), Vec::<String>::new());
    }
    let vars = [("MAILSHIM_MAILBOX".into(), evil.into())];
    // A mailbox's address holds no parenthesis; if one day it may, it stays a value.
    if let Ok(text) = script_of(vars, Task::Make, Tool::Graph) {
        assert!(text.contains(quoted) && !text.contains(evil), "{text}");
    }
}

/// RBAC for Applications and FullAccess are never mixed: Exchange would look for the mailbox's permission.
#[test]
fn the_least_right_that_the_cloud_offers() {
    for (name, text) in all().into_iter().filter(|(name, _)| !name.ends_with("undo")) {
        let role = text.contains("New-ManagementRoleAssignment");
        let consent = text.contains("FullAccess'") || text.contains("$Permission = ");
        assert!(!(role && consent), "{name}");
        let worldwide =
            name.starts_with("secret") || name.starts_with("certificate") || name.starts_with("workload");
        assert!(!worldwide || role, "{name}");
        let sovereign = ["gcc_high", "dod", "china"].iter().any(|cloud| name.starts_with(cloud));
        assert!(!sovereign || (consent && text.contains("-AccessRights 'FullAccess'")), "{name}");
    }
}
