//! The cells as tables for a person: a row a stage and fault, a column a form of mail.

use std::fmt::Write as _;

use office365::Stage;

use super::cell::{Cell, Form, Place, Seen, Trouble};

const TROUBLES: [(&str, Trouble); 13] = [
    ("refused", Trouble::Refuse),
    ("421", Trouble::Busy421),
    ("451", Trouble::Temporary),
    ("550", Trouble::Permanent),
    ("garbage", Trouble::Garbage),
    ("half a reply", Trouble::HalfReply),
    ("silence", Trouble::Silence),
    ("drip", Trouble::Drip),
    ("reset", Trouble::Reset),
    ("half-close", Trouble::HalfClose),
    ("close", Trouble::Close),
    ("extra reply", Trouble::Extra),
    ("extra, then 554", Trouble::ExtraThenRefused),
];

/// A row's name, its place, and whether CHUNKING is offered.
type Row = (&'static str, Place, bool);

const OPENING: &[Row] = &[
    ("token", Place::Token, true),
    ("connect", Place::At(Stage::Connect), true),
    ("greeting", Place::At(Stage::Greeting), true),
    ("EHLO", Place::At(Stage::Ehlo), true),
    ("STARTTLS", Place::At(Stage::StartTls), true),
    ("TLS", Place::At(Stage::Handshake), true),
    ("EHLO again", Place::At(Stage::Ehlo2), true),
    ("AUTH", Place::At(Stage::Auth), true),
];

const TRANSACTION: &[Row] = &[
    ("MAIL", Place::At(Stage::Mail), true),
    ("RCPT", Place::At(Stage::Rcpt), true),
    ("BDAT", Place::At(Stage::Chunk), true),
    ("BDAT LAST", Place::At(Stage::Dot), true),
    ("taken", Place::At(Stage::Accepted), true),
    ("DATA", Place::At(Stage::Data354), false),
    ("content", Place::At(Stage::Content), false),
    ("dot", Place::At(Stage::Dot), false),
];

const AFTERWARDS: &[Row] = &[("RSET", Place::At(Stage::Rset), true), ("QUIT", Place::At(Stage::Quit), true)];

/// One table.
pub struct Table {
    title: &'static str,
    rows: &'static [Row],
    forms: Vec<Form>,
}

/// All tables, in the order of the wire.
pub fn tables() -> Vec<Table> {
    let form = |reused, streamed, recipients| Form { reused, streamed, recipients };
    let new = vec![form(false, false, 1), form(false, true, 1)];
    let all = [false, true]
        .into_iter()
        .flat_map(|reused| [false, true].map(|streamed| (reused, streamed)))
        .flat_map(|(reused, streamed)| [1, 3].map(|recipients| form(reused, streamed, recipients)))
        .collect();
    vec![
        Table { title: "Before the transaction", rows: OPENING, forms: new.clone() },
        Table { title: "The transaction", rows: TRANSACTION, forms: all },
        Table { title: "After it", rows: AFTERWARDS, forms: new },
    ]
}

impl Table {
    fn rows(&self) -> impl Iterator<Item = (String, Vec<Option<Cell>>)> + '_ {
        self.rows.iter().flat_map(move |(name, place, chunking)| {
            TROUBLES.iter().filter_map(move |(fault, trouble)| {
                let cell =
                    |form: &Form| Cell { place: *place, chunking: *chunking, trouble: *trouble, form: *form };
                let cells: Vec<_> =
                    self.forms.iter().map(cell).map(|cell| cell.is_met().then_some(cell)).collect();
                let fault = token_word(*place, fault);
                cells.iter().any(Option::is_some).then(|| (format!("{name:<11}{fault}"), cells))
            })
        })
    }

    /// The cells that are run, in the order of the table.
    pub fn cells(&self) -> Vec<Cell> {
        self.rows().flat_map(|(_, cells)| cells).flatten().collect()
    }
}

/// The token service speaks HTTP.
fn token_word(place: Place, fault: &'static str) -> &'static str {
    match (place, fault) {
        (Place::Token, "421") => "429",
        (Place::Token, "451") => "503",
        (Place::Token, "550") => "401",
        (Place::Token, "half a reply") => "no token in it",
        (Place::Token, "half-close") => "endless",
        (_, fault) => fault,
    }
}

const HEAD: &str = "\
What one fault does, once, at each stage of the dialogue with Office 365: tests/relay/matrix. Written by
`UPDATE_GOLDEN=1 cargo test --test relay matrix`.

Each cell: the app's answer, copies at the upstream / attempts (MAIL was said so often), and over which connection the
next mail went, which is accepted: `kept` the same, `new` another, or the code of its refusal. One connection is
allowed, so that a slot that is lost would stop the next mail. `-`: this form of mail does not meet the stage.
`small` is held in memory, `stream` is longer than may be held; the number is that of recipients. `taken`: the upstream
has accepted the mail, its reply is what is lost. In `extra, then 554` a reply comes twice, and the mail is refused
after its content. `?`: chance decides whether the end of the content had left.
";

/// The tables with what was seen.
pub fn shown(tables: &[Table], seen: &[Result<Seen, String>]) -> String {
    let mut text = HEAD.to_string();
    let mut seen = seen.iter();
    for table in tables {
        let _ = write!(text, "\n{}\n\n{:<27}", table.title, "");
        let names = table.forms.iter().map(|form| {
            let size = if form.streamed { "stream" } else { "small" };
            format!("{} {size} {}", if form.reused { "used" } else { "new" }, form.recipients)
        });
        text.push_str(names.map(|name| format!("{name:<15}")).collect::<String>().trim_end());
        text.push('\n');
        for (name, cells) in table.rows() {
            let mut line = format!("{name:<27}");
            for cell in cells {
                let seen = cell.and_then(|cell| Some((cell, seen.next()?)));
                let shown = match seen {
                    Some((cell, Ok(seen))) => cell.shown(seen),
                    Some((_, Err(_))) => "failed".into(),
                    None => "-".into(),
                };
                let _ = write!(line, "{shown:<15}");
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    text
}
