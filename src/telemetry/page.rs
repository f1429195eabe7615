//! The status page: HTML that is made here, with no script in it and none allowed, and nothing to load.

use std::fmt::Write as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

use super::history::MINUTES;
use super::line::to_the_second;
use super::status::{Snapshot, Verdict, others};

/// Its colours follow the reader's scheme, its columns the width of the window.
const STYLE: &str = "\
:root{color-scheme:light dark;--b:#fff;--f:#1f2328;--d:#59636e;--l:#d1d9e0;--s:#f6f8fa;--c:#0969da;--ok:#1a7f37;--mid:#9a6700;--bad:#cf222e}\
@media(prefers-color-scheme:dark){:root{--b:#0d1117;--f:#e6edf3;--d:#9198a1;--l:#3d444d;--s:#151b23;--c:#4493f8;--ok:#3fb950;--mid:#d29922;--bad:#f85149}}\
*{box-sizing:border-box}\
body{margin:0 auto;max-width:56rem;padding:1rem;background:var(--b);color:var(--f);font:16px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}\
h1{font-size:1.5rem;line-height:1.25;margin:0}h2{font-size:1rem;margin:1.5rem 0 .5rem}p{margin:.25rem 0}\
header,section{border:1px solid var(--l);border-left:.4rem solid var(--mid);border-radius:.4rem;background:var(--s);padding:.75rem 1rem;margin:0 0 .75rem}\
header.ok{border-left-color:var(--ok)}header.bad{border-left-color:var(--bad)}section.plain{border-left-color:var(--l)}\
small,dt,.ends{color:var(--d);font-size:.875rem}b{font-weight:600}\
svg{display:block;width:100%;height:7rem;border-bottom:1px solid var(--l)}rect{fill:var(--c)}line{stroke:var(--bad);stroke-dasharray:6 4}\
.ends{display:flex;justify-content:space-between}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:0}dd{margin:0}\
@media(max-width:30rem){dl{display:block}dd{margin:0 0 .4rem}}";

/// Nothing is loaded, run, framed or sent anywhere; the one style is the one above. An icon that is empty keeps browsers
/// from asking for one.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
});

/// Seconds after which a browser asks again.
const REFRESH: &str = "10";

/// HTML under way. What is written unescaped is a literal of this program, by its type.
struct Html(String);

impl Html {
    fn raw(&mut self, html: &'static str) -> &mut Self {
        self.0.push_str(html);
        self
    }

    /// The one way for a text into the page: as an element's or as a quoted attribute's.
    fn text(&mut self, text: &str) -> &mut Self {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                character => self.0.push(character),
            }
        }
        self
    }

    fn number(&mut self, number: usize) -> &mut Self {
        // Writing into a String does not fail.
        let _ = write!(self.0, "{number}");
        self
    }

    fn line(&mut self, name: &'static str, text: &str) {
        self.raw("<p><b>").raw(name).raw("</b> ").text(text).raw("</p>");
    }
}

/// The page.
pub(super) fn render(snapshot: &Snapshot) -> String {
    let mut html = Html(String::with_capacity(8 * 1024));
    let verdict = match snapshot.verdict() {
        Verdict::Flows => "ok",
        Verdict::Slowed => "mid",
        Verdict::Stopped => "bad",
    };
    html.raw(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"",
    )
    .raw("width=device-width,initial-scale=1\"><meta http-equiv=\"refresh\" content=\"")
    .raw(REFRESH)
    .raw("\"><link rel=\"icon\" href=\"data:,\"><title>")
    .text(snapshot.headline())
    .raw(" - mailshim</title><style>")
    .raw(STYLE)
    .raw("</style></head><body><header class=\"")
    .raw(verdict)
    .raw("\"><h1>")
    .text(snapshot.headline())
    .raw("</h1><p><small>");
    if let Some(mailbox) = &snapshot.mailbox {
        html.text(mailbox).raw(", ");
    }
    html.text(&snapshot.span(snapshot.since(), None)).raw("</small></p>");
    snapshot.reason.iter().for_each(|reason| html.line("Why", reason));
    snapshot.fix.iter().for_each(|fix| html.line("Fix", fix));
    html.raw("</header>");
    for told in &snapshot.obstacles {
        html.raw("<section><b>").text(told.title()).raw("</b><p><small>");
        html.text(&snapshot.span(told.since, Some(told.until))).raw("</small></p>");
        if let Some(words) = &told.words {
            html.line("For", &words.mailbox);
            words.sender.iter().for_each(|sender| html.line("Sender", sender));
            if let Some((reason, fix)) = snapshot.why(words) {
                html.line("Why", reason);
                fix.iter().for_each(|fix| html.line("Fix", fix));
            }
        }
        html.raw("</section>");
    }
    html.raw("<h2>Mails a minute</h2>");
    plot(&mut html, snapshot);
    html.raw("<h2>Now</h2><dl>");
    for (name, value) in snapshot.facts() {
        html.raw("<dt>").raw(name).raw("</dt><dd>").text(&value).raw("</dd>");
    }
    html.raw("</dl>");
    if !snapshot.refusals.is_empty() {
        html.raw("<h2>Last refusals, newest first</h2>");
    }
    for (index, refusal) in snapshot.refusals.iter().enumerate() {
        html.raw("<section class=\"plain\"><p><b>").raw(refusal.outcome).raw("</b> ").text(&refusal.code);
        html.raw(" <small>").text(&to_the_second(refusal.at)).raw(" ").text(&refusal.id).raw("</small></p>");
        html.line("From", &refusal.from);
        html.line("To", &format!("{}{}", refusal.to, others(refusal.recipients)));
        html.line("Why", &refusal.reason);
        snapshot.fix_of(index).iter().for_each(|fix| html.line("Fix", fix));
        html.raw("</section>");
    }
    html.raw("<p><small>mailshim ").text(env!("CARGO_PKG_VERSION")).raw(", ");
    html.text(&to_the_second(snapshot.now)).raw("</small></p></body></html>\n");
    html.0
}

/// The plot's height, and a minute's width, in its own units.
const HEIGHT: usize = 100;
const MINUTE: usize = 10;

fn plot(html: &mut Html, snapshot: &Snapshot) {
    let top = snapshot.top();
    let height = |mails: usize| (mails * HEIGHT).div_ceil(top);
    html.raw("<p><small>").text(&snapshot.plot_words()).raw("</small></p>");
    html.raw("<svg viewBox=\"0 -4 ").number(MINUTES * MINUTE).raw(" ").number(HEIGHT + 4);
    html.raw(
        "\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Mails of each of the last 60 minutes\">",
    );
    for (index, mails) in snapshot.per_minute.iter().enumerate().filter(|(_, mails)| **mails > 0) {
        let height = height(*mails as usize);
        html.raw("<rect x=\"").number(index * MINUTE + 1).raw("\" y=\"").number(HEIGHT - height);
        html.raw("\" width=\"").number(MINUTE - 2).raw("\" height=\"").number(height).raw("\"/>");
    }
    if let Some(limit) = snapshot.limit {
        let at = HEIGHT - height(limit).min(HEIGHT);
        html.raw("<line x1=\"0\" x2=\"").number(MINUTES * MINUTE).raw("\" y1=\"").number(at);
        html.raw("\" y2=\"").number(at).raw("\"/>");
    }
    html.raw("</svg><div class=\"ends\"><span>60 minutes ago</span><span>now</span></div>");
}

#[cfg(test)]
mod tests {
    use super::super::status::tests::{HOSTILE, snapshot};
    use super::*;

    /// Every tag of the page is one that is written here.
    #[test]
    fn what_others_wrote_is_text() {
        let page = render(&snapshot(true));
        assert!(
            page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;&lt;img src=x"),
            "{page}"
        );
        let tags = page.split('<').skip(1).map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '/' && c != '!');
            &rest[..end.unwrap_or(rest.len())]
        });
        let ours = "!doctype html head meta link title style body header h1 h2 p small b section svg rect line div span dl dt dd";
        for tag in tags {
            assert!(ours.split(' ').any(|known| known == tag.trim_start_matches('/')), "<{tag}>");
        }
        // A quoted attribute ends where this program ends it.
        for tag in page.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
            assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
            assert!(!tag.contains("style=") && !tag.contains(" on"), "<{tag}>");
        }
        assert!(!page.contains(HOSTILE) && !page.contains("javascript:"));
    }

    #[test]
    fn the_style_is_the_one_that_the_policy_names() {
        let page = render(&snapshot(true));
        assert_eq!(page.matches("<style>").count(), 1);
        assert!(POLICY.starts_with("default-src 'none'; style-src 'sha256-") && !POLICY.contains("unsafe"));
    }

    #[test]
    fn the_plot_stays_within_its_frame() {
        for peak in [0, 1, 27, 28, 29, 10_000] {
            let mut snapshot = snapshot(true);
            snapshot.per_minute = [peak; MINUTES];
            let page = render(&snapshot);
            let attribute = |name: &str| {
                let numbers =
                    page.split(name).skip(1).filter_map(|rest| rest.split('"').next()?.parse::<i64>().ok());
                numbers.collect::<Vec<_>>()
            };
            for y in attribute(" y=\"").into_iter().chain(attribute(" y1=\"")) {
                assert!((0..=100).contains(&y), "{peak}: {y}");
            }
        }
    }
}
