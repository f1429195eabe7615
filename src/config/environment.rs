//! From the process's environment to text: which variables are set, by value or by file, and under which name.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::cloud::{self, Cloud};
use super::error::{ConfigError, ConfigErrors};
use super::unknown::{did_you_mean, is_service_link};
use super::variables::{Variable, default_text, file_form, spellings, variable};
use crate::secret::{Secret, SecretSource, bare, is_quoted, read_value_file};

/// Variables with a value, by their exact names; the first counts where a name stands twice, as for getenv.
pub(super) struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// Keeps what concerns us; nothing of anybody else's variables is copied or must be UTF-8.
    pub fn new(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let ours: Vec<String> = spellings().collect();
        let mut kept = BTreeMap::new();
        for (name, value) in vars {
            let has_our_prefix = name
                .as_encoded_bytes()
                .get(..9)
                .is_some_and(|start| start.eq_ignore_ascii_case(b"MAILSHIM_"));
            let concerns_us = has_our_prefix || ours.iter().any(|known| **known == *name);
            if concerns_us && !value.is_empty() {
                kept.entry(name).or_insert(value);
            }
        }
        Self(kept)
    }

    fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// The name under which a variable is set, found without reading the file that it may name.
    pub fn set_as(&self, variable: &Variable) -> Option<String> {
        let names = std::iter::once(variable.name).chain(variable.aliases.iter().copied());
        let spellings = names.flat_map(|name| [Some(name.to_string()), file_form(name)]).flatten();
        let mut spellings = spellings;
        spellings.find(|name| self.get(name).is_some())
    }

    /// Reads these variables, each under the first of its names that is set.
    pub fn read(&self, wanted: impl IntoIterator<Item = &'static Variable>) -> Reader {
        let mut reader = Reader::default();
        let mut found = Vec::new();
        for variable in wanted {
            if let Some(value) = reader.find(self, variable) {
                found.push((variable.name.to_string(), value));
            }
        }
        // envy gets exact names of the table alone, each once, and has nothing to convert: it would stop at its first
        // error, and say the value.
        reader.values = envy::from_iter(found).unwrap_or_else(|_| {
            let problem = "cannot be read (a fault in mailshim: please report it)";
            reader.errors.push(ConfigError::new("MAILSHIM_*", problem));
            BTreeMap::new()
        });
        reader
    }
}

/// Where a variable's value was found.
struct Source {
    /// The name that the operator wrote.
    set_as: String,
    file: Option<PathBuf>,
}

/// Turns text into values, and gathers what is wrong on the way. No `Debug`: it holds secrets.
#[derive(Default)]
pub(super) struct Reader {
    /// What is set and can be read, by envy's lower-case names.
    values: BTreeMap<String, String>,
    sources: BTreeMap<&'static str, Source>,
    /// Variables whose value, or default, its own parser took.
    accepted: BTreeSet<&'static str>,
    /// Whose defaults hold.
    pub cloud: &'static Cloud,
    pub errors: Vec<ConfigError>,
    pub warnings: Vec<String>,
}

impl Reader {
    /// A variable's text under the first of its names that is set; what is wrong with it is reported.
    fn find(&mut self, env: &Environment, variable: &'static Variable) -> Option<String> {
        let mut names = std::iter::once(variable.name).chain(variable.aliases.iter().copied());
        names.find_map(|name| self.given(env, variable, name)).flatten()
    }

    /// `None`: not set under this name. `Some(None)`: set, and wrong, which has been reported.
    fn given(
        &mut self,
        env: &Environment,
        variable: &'static Variable,
        name: &str,
    ) -> Option<Option<String>> {
        let by_file = file_form(name);
        let path = by_file.as_deref().and_then(|name| env.get(name));
        let (set_as, file, value) = match (env.get(name), by_file, path) {
            (None, _, None) | (None, None, _) => return None,
            (Some(_), Some(by_file), Some(_)) => {
                let problem = format!("is set, and so is {by_file}: set one of them");
                (name.to_string(), None, Err(problem))
            }
            (Some(value), ..) => match value.to_str() {
                // Around a secret white space may belong to it; around anything else it is an accident.
                Some(text) if variable.secret => (name.to_string(), None, Ok(text.to_string())),
                Some(text) if text.trim().is_empty() => return None,
                Some(text) => (name.to_string(), None, Ok(text.trim().to_string())),
                None => (name.to_string(), None, Err("is not valid UTF-8".to_string())),
            },
            (None, Some(by_file), Some(path)) => {
                let value = read_value_file(Path::new(path))
                    .and_then(|text| match text.trim() {
                        _ if variable.secret => Ok(text),
                        "" => Err("is empty".to_string()),
                        trimmed => Ok(trimmed.to_string()),
                    })
                    .map_err(|problem| {
                        let is_shown = problem.contains(&*path.to_string_lossy());
                        let no_value = if is_shown {
                            ""
                        } else {
                            " (it takes the path of a file, not the value itself)"
                        };
                        format!("the file that it names {problem}{no_value}")
                    });
                (by_file, Some(PathBuf::from(path)), value)
            }
        };
        let value = value.map_err(|problem| self.errors.push(ConfigError::new(&set_as, problem))).ok();
        self.sources.insert(variable.name, Source { set_as, file });
        Some(value)
    }

    /// Reports unknown names, and warns of names in the wrong case.
    pub fn refuse_unknown(&mut self, env: &Environment) {
        let known: Vec<String> = spellings().collect();
        for (name, value) in &env.0 {
            let text = name.to_string_lossy();
            if known.iter().any(|known| *known == text) || is_service_link(&text, value.to_str()) {
                continue;
            }
            let shown: String = text.escape_debug().take(100).collect();
            if text.starts_with("MAILSHIM_") {
                let hint = match did_you_mean(&text) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => "docs/configuration.md has the list".to_string(),
                };
                self.errors.push(ConfigError::new(shown, format!("is no variable of mailshim: {hint}")));
            } else if known.contains(&text.to_uppercase()) {
                self.warn(format!("{shown} is ignored: the names of variables are upper case"));
            }
        }
    }

    /// Whether there is anything under the variable's names, be it wrong.
    pub fn is_set(&self, name: &str) -> bool {
        self.sources.contains_key(name)
    }

    /// The name under which a variable was set, or its first.
    pub fn set_as<'a>(&'a self, name: &'a str) -> &'a str {
        self.sources.get(name).map_or(name, |source| &source.set_as)
    }

    /// Whether the value came by file.
    pub fn is_by_file(&self, name: &str) -> bool {
        self.sources.get(name).is_some_and(|source| source.file.is_some())
    }

    /// Notes that a value is what it should be: it can be shown.
    pub fn accept(&mut self, name: &'static str) {
        self.accepted.insert(name);
    }

    /// Whether a parser took the value.
    pub fn is_accepted(&self, name: &str) -> bool {
        self.accepted.contains(name)
    }

    /// A variable's text as it was set, with no default. `None` also if it could not be read, which has been reported.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(&name.to_ascii_lowercase()).map(String::as_str)
    }

    /// A variable's value, or its default's. `None` if there is neither, or if it is wrong, which is reported.
    pub fn value<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.value_or(name, self.default_text(name), parse)
    }

    /// The same with another default than the table's or the cloud's.
    pub fn value_or<T>(
        &mut self,
        name: &'static str,
        default: Option<&str>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(name).or(default)?.to_string();
        let value = parse(&text).map_err(|problem| self.refuse_value(name, &text, &problem)).ok()?;
        self.accept(name);
        Some(value)
    }

    /// Reads `MAILSHIM_CLOUD`, whose defaults hold for what is read after it.
    pub fn choose_cloud(&mut self) {
        if let Some(cloud) = self.value("MAILSHIM_CLOUD", cloud::cloud) {
            self.cloud = cloud;
            cloud.doubt.into_iter().for_each(|doubt| self.warn(format!("MAILSHIM_CLOUD: {doubt}")));
        }
    }

    /// A secret, by value or by the file to read it from at each use.
    pub fn secret(&mut self, name: &'static str) -> Option<SecretSource> {
        let given = Secret::new(self.text(name)?.to_string());
        let text = bare(given.expose());
        if text.is_empty() {
            self.refuse(name, "is empty");
            return None;
        }
        if given.expose() != text {
            let name = self.set_as(name).to_string();
            self.warn(format!(
                "{name}: its trailing line ends, or the byte order mark before it, are not taken as part of the secret"
            ));
        }
        if text.trim() != text {
            let name = self.set_as(name).to_string();
            self.warn(format!(
                "{name}: begins or ends with white space, which is taken as part of the secret"
            ));
        }
        Some(match self.sources.get(name).and_then(|source| source.file.clone()) {
            Some(path) => SecretSource::File(path),
            None => SecretSource::Value(Secret::new(text.to_string())),
        })
    }

    /// What was made of the variables, unless there was a mistake.
    ///
    /// # Errors
    /// Every mistake.
    pub fn finish<T>(self, made: Option<T>) -> Result<T, ConfigErrors> {
        made.filter(|_| self.errors.is_empty()).ok_or(ConfigErrors(self.errors))
    }

    /// Reports a bad value, repeated only where it cannot be a secret: what stands in a file might be the wrong file.
    pub fn refuse_value(&mut self, name: &'static str, value: &str, problem: &str) {
        let by_file = self.is_by_file(name);
        if is_quoted(value) {
            self.refuse(
                name,
                "its value has quotes around it, which are part of it where no shell takes them off (a Compose list \
                 - NAME=value, docker run --env-file): take them away",
            );
            return;
        }
        let subject = match variable(name) {
            Some(variable) if variable.echoed && !by_file => {
                let shown: String = value.chars().take(80).flat_map(char::escape_debug).collect();
                format!("\"{shown}\"")
            }
            _ => "its value".to_string(),
        };
        let default =
            self.default_text(name).map(|text| format!(" (the default is {text})")).unwrap_or_default();
        self.refuse(name, format!("{subject} {problem}{default}"));
    }

    /// What holds where a variable is not set: the cloud's value, or the table's.
    pub fn default_text(&self, name: &str) -> Option<&'static str> {
        self.cloud.default_text(name).or_else(|| default_text(name))
    }

    /// Reports a mistake.
    pub fn refuse(&mut self, name: &'static str, problem: impl Into<String>) {
        let error = ConfigError::new(self.set_as(name), problem);
        self.errors.push(error);
    }

    /// Reports a variable that must be set and is not.
    pub fn require(&mut self, name: &'static str, why: &str) {
        if !self.is_set(name) {
            self.refuse(name, format!("is required: {why}"));
        }
    }

    /// Something to mention at start that stops nothing.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }
}
