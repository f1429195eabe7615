//! What each tool of Microsoft's calls a cloud.

/// One cloud's names, which differ from tool to tool.
pub(super) struct CloudNames {
    pub graph: &'static str,
    pub az: &'static str,
    pub graph_url: &'static str,
    pub exchange: Option<&'static str>,
    /// Where a tenant's own mail host is, behind its domain.
    pub mail_host: &'static str,
}

/// The names of the cloud that `MAILSHIM_CLOUD` calls so.
pub(super) fn cloud_names(cloud: &str) -> CloudNames {
    let (graph, az, graph_url, exchange, mail_host) = match cloud {
        "gcc-high" => (
            "USGov",
            "AzureUSGovernment",
            "https://graph.microsoft.us",
            Some("O365USGovGCCHigh"),
            "mail.protection.office365.us",
        ),
        "dod" => (
            "USGovDoD",
            "AzureUSGovernment",
            "https://dod-graph.microsoft.us",
            Some("O365USGovDoD"),
            "mail.protection.office365.us",
        ),
        "china" => (
            "China",
            "AzureChinaCloud",
            "https://microsoftgraph.chinacloudapi.cn",
            Some("O365China"),
            "mail.protection.partner.outlook.cn",
        ),
        _ => ("Global", "AzureCloud", "https://graph.microsoft.com", None, "mail.protection.outlook.com"),
    };
    CloudNames { graph, az, graph_url, exchange, mail_host }
}
