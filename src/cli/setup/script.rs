//! The script, put together of the parts in `parts/`: values in, text out.
//!
//! The parts are fixed text. What the variables say stands in the head alone, as PowerShell variables, each value
//! quoted: a value can be nothing but a value.

use super::end::{end, undone};
use super::head::head;
use super::plan::{Right, Task, Tool, has_application, is_personal, right};
use crate::config::{SetUp, Way};

/// A part of the script, for either tool.
macro_rules! part {
    ($name:literal) => {
        include_str!(concat!("parts/", $name, ".ps1"))
    };
}
macro_rules! entra {
    ($tool:expr, $name:literal) => {
        match $tool {
            Tool::Graph => include_str!(concat!("parts/graph_", $name, ".ps1")),
            Tool::Az => include_str!(concat!("parts/az_", $name, ".ps1")),
        }
    };
}

/// The whole script.
pub fn script(set_up: &SetUp, task: Task, tool: Tool) -> String {
    let mut parts = vec![head(set_up, task, tool)];
    let mut add = |part: &str| parts.push(part.to_string());
    match task {
        Task::Make => make(set_up, tool, &mut add),
        Task::Undo => undo(set_up, tool, &mut add),
    }
    let end = match task {
        Task::Make => end(set_up),
        Task::Undo => undone(set_up),
    };
    format!("{}\n{end}}}\n", parts.join("\n"))
}

fn make(set_up: &SetUp, tool: Tool, add: &mut impl FnMut(&str)) {
    let right = right(set_up);
    if has_application(set_up.way) || set_up.way == Way::Managed {
        add(entra!(tool, "connect"));
    }
    if has_application(set_up.way) {
        add(entra!(tool, "application"));
    }
    match set_up.way {
        Way::Certificate => add(entra!(tool, "certificate")),
        Way::Workload => add(entra!(tool, "federated")),
        Way::Refresh => add(entra!(tool, "public")),
        Way::Managed => add(entra!(tool, "managed")),
        Way::Secret | Way::Password | Way::None => {}
    }
    if has_application(set_up.way) && set_up.way != Way::Refresh {
        add(entra!(tool, "enterprise"));
    }
    if matches!(right, Right::Consent | Right::HighVolume) {
        add(entra!(tool, "consent"));
    }
    if !is_personal(set_up) {
        exchange(set_up, right, add);
    }
    // Last: its value is shown once, and must not be lost to a step that fails after it.
    if set_up.way == Way::Secret {
        add(entra!(tool, "secret"));
    }
}

fn exchange(set_up: &SetUp, right: Right, add: &mut impl FnMut(&str)) {
    add(part!("exchange_connect"));
    if set_up.way == Way::None {
        add(part!("connector_domain"));
        add(if set_up.by_certificate { part!("connector_certificate") } else { part!("connector_address") });
        add(part!("connector_end"));
        add(part!("exchange_end"));
        return;
    }
    if right == Right::HighVolume {
        add(part!("hve"));
        add(part!("exchange_end"));
        return;
    }
    if right == Right::Role {
        add(part!("customization"));
    }
    add(part!("mailbox"));
    add(part!("mailboxes_check"));
    add(part!("smtp_auth"));
    match right {
        Right::Role => {
            add(part!("pointer"));
            add(part!("group"));
            add(part!("role"));
            add(part!("role_test"));
        }
        Right::Consent => {
            add(part!("pointer"));
            add(part!("full_access"));
        }
        Right::HighVolume | Right::None => {}
    }
    if set_up.from.is_some() {
        add(part!("send_as"));
    }
    add(part!("exchange_end"));
}

/// In the reverse order: the rights before what they are about.
fn undo(set_up: &SetUp, tool: Tool, add: &mut impl FnMut(&str)) {
    let right = right(set_up);
    let is_exchanges = set_up.way == Way::None || matches!(right, Right::Role | Right::Consent);
    if is_exchanges {
        add(part!("exchange_connect"));
        match right {
            Right::Role => add(part!("exchange_undo")),
            Right::Consent => add(part!("full_access_undo")),
            Right::HighVolume | Right::None => add(part!("connector_undo")),
        }
        if right != Right::None {
            add(part!("pointer_undo"));
        }
        add(part!("exchange_end"));
    }
    if has_application(set_up.way) {
        add(entra!(tool, "connect"));
        add(entra!(tool, "undo"));
    }
}
