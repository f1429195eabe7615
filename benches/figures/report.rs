//! The table.

/// What a figure should reach.
#[derive(Clone, Copy)]
pub enum Target {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
    /// Reported, not judged.
    None,
}

/// One measured figure.
struct Figure {
    name: &'static str,
    what: String,
    value: f64,
    unit: &'static str,
    target: Target,
}

/// The figures, in the order in which they were measured.
#[derive(Default)]
pub struct Report(Vec<Figure>);

impl Report {
    /// Adds one. `name` is for machines and never changes, `what` is for people.
    pub fn add(&mut self, name: &'static str, what: &str, value: f64, unit: &'static str, target: Target) {
        self.0.push(Figure { name, what: what.to_owned(), value, unit, target });
    }

    /// `name value unit`, one line a figure; a pure number's unit is `1`.
    pub fn plain(&self) -> String {
        let unit = |figure: &Figure| if figure.unit.is_empty() { "1" } else { figure.unit };
        let line = |figure: &Figure| format!("{} {:.3} {}\n", figure.name, figure.value, unit(figure));
        self.0.iter().map(line).collect()
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut rows = vec![["figure", "measured", "target", ""].map(str::to_owned)];
        for Figure { what, value, unit, target, .. } in &self.0 {
            let (target, verdict) = match target {
                Target::AtMost(most) => {
                    (format!("<= {most} {unit}"), if value <= most { "ok" } else { "over" })
                }
                Target::AtLeast(least) => {
                    (format!(">= {least} {unit}"), if value >= least { "ok" } else { "under" })
                }
                Target::None => ("reported".to_owned(), ""),
            };
            rows.push([what.clone(), format!("{value:.3} {unit}"), target, verdict.to_owned()]);
        }
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (what, measured, target) = (width(0), width(1), width(2));
        let line = |[a, b, c, d]: &[String; 4]| format!("{a:what$}  {b:>measured$}  {c:target$}  {d}\n");
        rows.iter().map(line).collect()
    }
}

/// The value in the middle; 0 of nothing.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value that this share of the values does not exceed; 0 of nothing.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let index = (values.len() as f64 * share) as usize;
    values.get(index.min(values.len().saturating_sub(1))).copied().unwrap_or(0.0)
}
