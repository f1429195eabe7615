//! What tests, benchmarks and examples name of the rooms, each under its room's own path. It is no interface: the rooms
//! are private, so that the compiler finds what nobody uses.

pub mod cli {
    pub mod serve {
        pub use crate::cli::serve::{FirstSignIn, bind, run};
    }
    pub mod check {
        pub use crate::cli::check::{End, RUNGS, Rung, Screen, State, climb, spool_rung};
    }
    pub mod arguments {
        pub use crate::cli::arguments::{STATES, command};
    }
    pub mod setup {
        pub use crate::cli::setup::{Task, Tool, script_of};
    }
}

pub mod config {
    pub use crate::config::{
        CLOUDS, Config, ConfigErrors, DefaultValue, VARIABLES, client, http_listen_only, listen_only, login,
        report,
    };
}

pub mod session {
    pub use crate::session::{Memory, Sessions};
    pub mod repeats {
        pub use crate::session::repeats::{Coming, Digest, MAX_REMEMBERED, REMEMBERED, Table, Told};
    }
    pub mod machine {
        pub use crate::session::machine::Machine;
        pub use crate::session::step::{Guard, Limits, Step};
    }
}

pub mod delivery {
    pub use crate::delivery::{Delivery, Worker};
    pub mod intake {
        pub use crate::delivery::intake::Intake;
    }
    pub mod settlement {
        pub use crate::delivery::settlement::{Moment, Verdicts};
    }
    pub mod relay {
        pub use crate::delivery::relay::Relay;
    }
    pub mod gate {
        pub use crate::delivery::gate::Gate;
    }
    pub mod ledger {
        pub use crate::delivery::ledger::Ledger;
    }
    pub mod limits {
        pub use crate::delivery::limits::{Event, Limits};
    }
    pub mod directory {
        pub use crate::delivery::directory::{Accounts, Allowance};
    }
}

pub mod upstream {
    pub mod line {
        pub use crate::upstream::line::Line;
    }
    pub mod connector {
        pub use crate::upstream::connector::Connector;
    }
    pub mod opening {
        pub use crate::upstream::opening::{Opening, OpeningStep};
    }
    pub mod transaction {
        pub use crate::upstream::transaction::{
            After, Framing, Plan, Recipients, Step, Transaction, Verdict,
        };
    }
}

pub mod identity {
    pub use crate::identity::Identity;
    pub mod grant {
        pub use crate::identity::grant::{client_secret, refresh_token};
    }
}

pub mod spool {
    pub use crate::spool::{
        Claimed, Doubt, Examination, Lying, Mount, PutFault, SpoolOptions, Store, Then, Unfit,
    };
}

pub mod queue {
    pub mod request {
        pub use crate::queue::request::{Action, Answer, Request};
    }
    pub mod entry {
        pub use crate::queue::entry::{
            Attempt, Detail, Entry, Head, Result, Sent, StoredEnvelope, StoredRecipient, Verdict,
        };
    }
    pub mod report {
        pub use crate::queue::report::{Listed, Report, ReportOptions, Stamp, owed};
    }
}

pub mod telemetry {
    pub mod metrics {
        pub use crate::telemetry::metrics::metrics;
    }
}

pub mod transport {
    pub mod dial {
        pub use crate::transport::dial::Dialer;
    }
    pub mod http {
        pub use crate::transport::answer::Answer;
        pub use crate::transport::http::Http;
    }
    pub mod tls {
        pub use crate::transport::tls::client_config;
    }
}

pub mod outcome {
    pub use crate::outcome::{
        Alert, Cause, Class, Context, Fault, Judgement, Outcome, ProxyFault, ProxyReason, RecipientOutcome,
        Retry, Scope, SpoolFault, Stage, TlsFault, TlsReason, TokenFault, judge,
    };
}

pub mod message {
    pub use crate::message::{Abandoned, Awaited, Budget, Envelope, HeldContent, MessageId, Piece, Source};
    pub mod budget {
        pub use crate::message::budget::{CERTAIN_SHARE, MAX_COMMON_SHARE};
    }
    pub mod address {
        pub use crate::message::address::{author, recipients, written};
    }
    pub mod header {
        pub use crate::message::header::Value;
    }
    pub mod policy {
        pub use crate::message::policy::Policy;
    }
    pub mod repair {
        pub use crate::message::repair::{Note, Original, Rewritten, Stamp, rewrite};
    }
    pub mod refusal {
        pub use crate::message::refusal::Refusal;
    }
    pub mod sender {
        pub use crate::message::sender::{AddressList, FromPolicy, Sender};
    }
}

pub mod smtp {
    pub mod command {
        pub use crate::smtp::command::{Body, Mail, Recipient, parse};
    }
    pub mod data {
        pub use crate::smtp::data::{ContentReader, DotStuffer};
    }
    pub mod extension {
        pub use crate::smtp::extension::Extensions;
    }
    pub mod path {
        pub use crate::smtp::path::{Address, is_xtext, parameters, split, split_named};
    }
    pub mod reply {
        pub use crate::smtp::reply::{BrokenReply, Flaw, Reply, ReplyReader};
    }
    pub mod sasl {
        pub use crate::smtp::sasl::{decode, encode, plain};
    }
}

pub mod redact {
    pub use crate::redact::{Redactor, printable};
}

pub mod secret {
    pub use crate::secret::{Looks, Secret};
}

pub mod credential {
    pub use crate::credential::Credential;
}

pub mod durable {
    pub use crate::durable::{Disk, DiskFile, Free, System, directory_of};
}

pub mod deadlines {
    pub use crate::deadlines::Deadlines;
}

pub mod life {
    pub use crate::life::Life;
}
