//! Each way to sign in, from its variables to the mail in Office 365, and what its refusals say.

use office365::{AppCertificate, FederatedCredential, Office365, Settings};
use support::files::TempFile;
use support::thread::assert_lawful;

use super::{MAIL, config, start};

fn credential() -> FederatedCredential {
    Settings::default().federated_credential
}

#[test]
fn a_certificate_in_pem_and_in_pkcs12() {
    let made = AppCertificate::new();
    let office365 =
        Office365::start(Settings { certificates: vec![made.der.clone()], ..Settings::default() });
    let (pem, pkcs12) = (TempFile::new(made.pem()), TempFile::new(made.pkcs12("pass word", &[])));
    let password = TempFile::new("pass word\n");
    for more in [
        &[("MAILSHIM_CLIENT_CERTIFICATE_PATH", pem.path())][..],
        &[
            ("AZURE_CLIENT_CERTIFICATE_PATH", pkcs12.path()),
            ("MAILSHIM_CLIENT_CERTIFICATE_PASSWORD_FILE", password.path()),
        ],
    ] {
        start(&office365, more).send(MAIL).is(250);
    }
    let requests = office365.token_requests();
    assert!(requests.iter().all(|request| request.fields.iter().any(|(name, _)| name == "client_assertion")));
    assert_lawful(&office365);
}

#[test]
fn a_certificate_that_was_not_uploaded() {
    let (made, uploaded) = (AppCertificate::new(), AppCertificate::new());
    let office365 = Office365::start(Settings { certificates: vec![uploaded.der], ..Settings::default() });
    let file = TempFile::new(made.pem());
    let shim = start(&office365, &[("MAILSHIM_CLIENT_CERTIFICATE_PATH", file.path())]);
    shim.send(MAIL)
        .begins("454 4.7.0 ", &["AADSTS700027", "The key was not found", "Upload the certificate"]);
}

#[test]
fn a_certificate_is_judged_before_a_port_is_bound() {
    let office365 = Office365::start(Settings::default());
    let (made, other) = (AppCertificate::new(), AppCertificate::new());
    for (content, part) in [
        (AppCertificate::valid(-10, -2).pem(), "expired 2 days ago"),
        (format!("{}{}", made.certificate, other.key), "not a pair"),
    ] {
        let file = TempFile::new(content);
        let errors = config(&office365, &[("MAILSHIM_CLIENT_CERTIFICATE_PATH", file.path())]).unwrap_err();
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert!(
            errors.len() == 1 && errors[0].starts_with("MAILSHIM_CLIENT_CERTIFICATE_PATH: "),
            "{errors:?}"
        );
        assert!(errors[0].contains(part), "{errors:?}");
    }
    let file = TempFile::new(AppCertificate::valid(-10, 20).pem());
    let config = config(&office365, &[("MAILSHIM_CLIENT_CERTIFICATE_PATH", file.path())]).unwrap();
    assert!(
        config.warnings.iter().any(|warning| warning.contains("expires in 19 days")),
        "{:?}",
        config.warnings
    );
}

#[test]
fn workload_identity_as_aks_injects_it() {
    let office365 = Office365::start(Settings::default());
    let file = TempFile::new(office365.federated_token(&credential(), 3600));
    let injected = office365.env().into_iter().filter_map(|(name, value)| match name.as_str() {
        "MAILSHIM_TENANT_ID" => Some(("AZURE_TENANT_ID", value)),
        "MAILSHIM_CLIENT_ID" => Some(("AZURE_CLIENT_ID", value)),
        "AZURE_AUTHORITY_HOST" => Some(("AZURE_AUTHORITY_HOST", format!("{value}/"))),
        _ => None,
    });
    let injected: Vec<_> = injected.collect();
    let mut more: Vec<_> = injected.iter().map(|(name, value)| (*name, value.as_str())).collect();
    more.push(("AZURE_FEDERATED_TOKEN_FILE", file.path()));
    more.extend([("MAILSHIM_TENANT_ID", ""), ("MAILSHIM_CLIENT_ID", "")]);
    start(&office365, &more).send(MAIL).is(250);
    assert_lawful(&office365);
}

#[test]
fn a_federated_token_that_does_not_match() {
    let office365 = Office365::start(Settings::default());
    let right = credential();
    let without_slash = right.issuer.trim_end_matches('/').to_string();
    let subject = "system:serviceaccount:mail:other".to_string();
    for (wrong, lives, code) in [
        (FederatedCredential { issuer: without_slash, ..right.clone() }, 3600, "AADSTS700211"),
        (FederatedCredential { subject, ..right.clone() }, 3600, "AADSTS700213"),
        (FederatedCredential { audience: "api://other".to_string(), ..right.clone() }, 3600, "AADSTS700212"),
        (right, -60, "AADSTS700024"),
    ] {
        let file = TempFile::new(office365.federated_token(&wrong, lives));
        // The one that is worth another attempt ends with the hold, and says so.
        let more = [("AZURE_FEDERATED_TOKEN_FILE", file.path()), ("MAILSHIM_HOLD", "1s")];
        start(&office365, &more).send(MAIL).begins("45", &[code]);
    }
    let another_cluster = Office365::start(Settings::default());
    let file = TempFile::new(another_cluster.federated_token(&credential(), 3600));
    let shim = start(&office365, &[("AZURE_FEDERATED_TOKEN_FILE", file.path())]);
    shim.send(MAIL).begins("454 4.7.0 ", &["AADSTS700027"]);
}

#[test]
fn managed_identity_of_a_machine_and_of_app_service() {
    let settings = Settings::default();
    let (header, client_id) = (settings.identity_header.clone(), settings.managed_client_id.clone());
    let office365 = Office365::start(settings);
    let (imds, endpoint) = (office365.imds(), office365.identity_endpoint());
    let imds = ("AZURE_POD_IDENTITY_AUTHORITY_HOST", imds.as_str());
    let app_service = [("IDENTITY_ENDPOINT", endpoint.as_str()), ("IDENTITY_HEADER", header.as_str())];
    for more in [
        &[imds, ("MAILSHIM_MANAGED_IDENTITY", "system")][..],
        &[imds, ("MAILSHIM_MANAGED_IDENTITY", &client_id)],
        &[app_service[0], app_service[1], ("MAILSHIM_MANAGED_IDENTITY", "system")],
        &[app_service[0], app_service[1], ("MAILSHIM_MANAGED_IDENTITY", &client_id)],
    ] {
        start(&office365, more).send(MAIL).is(250);
    }
    let unknown = ("MAILSHIM_MANAGED_IDENTITY", "00000000-bbbb-cccc-dddd-eeeeeeeeeeee");
    let reply = start(&office365, &[imds, unknown]).send(MAIL);
    reply.begins("454 4.7.0 ", &["Identity not found"]);
    let reply = start(&office365, &[app_service[0], app_service[1], unknown]).send(MAIL);
    reply.begins("454 4.7.0 ", &["No User Assigned or Delegated Managed Identity"]);
    let reply = start(
        &office365,
        &[app_service[0], ("IDENTITY_HEADER", "another"), ("MAILSHIM_MANAGED_IDENTITY", "system")],
    )
    .send(MAIL);
    reply.begins("454 4.7.0 ", &["Invalid X-IDENTITY-HEADER"]);
    assert_lawful(&office365);
}

#[test]
fn a_person_s_refresh_token() {
    let office365 = Office365::start(Settings::default());
    let file = TempFile::new(office365.give_refresh_token());
    start(&office365, &[("MAILSHIM_REFRESH_TOKEN_FILE", file.path())]).send(MAIL).is(250);
    assert_lawful(&office365);
}

#[test]
fn a_password() {
    let office365 = Office365::start(Settings::default());
    let password = Settings::default().password;
    start(&office365, &[("MAILSHIM_PASSWORD", &password)]).send(MAIL).is(250);
    assert_lawful(&office365);
}
