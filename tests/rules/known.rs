//! What the rules forbid and the code still does. The lists can only shrink: an entry that is no longer true fails. A
//! failing test prints the whole lists as they would have to stand here.

/// A file, and the file that it must not import.
pub const ARROWS: &[(&str, &str)] = &[
    ("src/identity/grant/assertion.rs", "src/identity/certificate.rs"),
    ("src/transport/http.rs", "src/identity/grant/managed.rs"),
    ("src/transport/http.rs", "src/identity/grant/mod.rs"),
];

/// A file, and the crate that it must not name.
pub const CRATES: &[(&str, &str)] =
    &[("src/identity/exchange.rs", "std::fs"), ("src/identity/token_file.rs", "std::fs")];

/// A pure file, and what it asks of the world.
pub const IMPURE: &[(&str, &str)] = &[];

/// Files that need each other in a circle.
pub const CIRCLES: &[&[&str]] = &[
    &[
        "src/cli/check/mod.rs",
        "src/cli/check/way.rs",
        "src/cli/env.rs",
        "src/cli/exec/mod.rs",
        "src/cli/exec/news.rs",
        "src/cli/exec/supervisor.rs",
        "src/cli/login.rs",
        "src/cli/mod.rs",
        "src/cli/run.rs",
        "src/cli/send.rs",
        "src/cli/wait.rs",
    ],
    &[
        "src/identity/grant/assertion.rs",
        "src/identity/grant/device.rs",
        "src/identity/grant/managed.rs",
        "src/identity/grant/mod.rs",
        "src/identity/grant/refresh.rs",
        "src/identity/grant/secret.rs",
    ],
];
