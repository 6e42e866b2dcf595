//! What the check has found, one thing at a time, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was looked at: `node 127.0.0.1:8332`.
    pub(crate) about: String,
    /// A stable name of what was asked of it, `snake_case`, for scripts.
    pub(crate) code: &'static str,
    pub(crate) level: Level,
    /// How it is, in plain words.
    pub(crate) text: String,
    /// The one thing to do, where there is something.
    pub(crate) next_step: Option<String>,
}

/// How it is. The order is that of urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// The pool works, and it could be better.
    Note,
    /// The pool does not start, does not mine, or may lose a block.
    Wrong,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Wrong => "wrong",
        }
    }
}

/// What was found of one thing after another.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

/// What is found of one thing.
pub(crate) struct Subject<'a> {
    findings: &'a mut Findings,
    about: String,
}

impl Findings {
    pub(crate) fn about(&mut self, about: impl Into<String>) -> Subject<'_> {
        Subject {
            about: about.into(),
            findings: self,
        }
    }

    pub(crate) fn is_well(&self) -> bool {
        self.count(Level::Wrong) == 0
    }

    fn count(&self, level: Level) -> usize {
        let same = self.0.iter().filter(|finding| finding.level == level);
        same.count()
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "is_well": self.is_well(), "findings": self.0 })
    }

    /// As people read it.
    pub(crate) fn told(&self) -> String {
        let mut text = String::new();
        let mut about = "";
        for finding in &self.0 {
            if finding.about != about {
                about = &finding.about;
                let _ = writeln!(text, "{about}");
            }
            let _ = writeln!(text, "  {:<6} {}", finding.level.word(), finding.text);
            if let Some(step) = &finding.next_step {
                let _ = writeln!(text, "         -> {step}");
            }
        }
        text.push_str(&self.verdict());
        text
    }

    fn verdict(&self) -> String {
        let notes = match self.count(Level::Note) {
            0 => String::new(),
            1 => "; 1 note".to_owned(),
            notes => format!("; {notes} notes"),
        };
        match self.count(Level::Wrong) {
            0 => format!("nothing is wrong{notes}"),
            1 => format!("1 thing is wrong{notes}"),
            wrong => format!("{wrong} things are wrong{notes}"),
        }
    }
}

impl Subject<'_> {
    pub(crate) fn ok(&mut self, code: &'static str, text: impl Into<String>) {
        self.add(code, Level::Ok, text.into(), None);
    }

    pub(crate) fn note(
        &mut self,
        code: &'static str,
        text: impl Into<String>,
        next_step: impl Into<String>,
    ) {
        self.add(code, Level::Note, text.into(), Some(next_step.into()));
    }

    pub(crate) fn wrong(
        &mut self,
        code: &'static str,
        text: impl Into<String>,
        next_step: impl Into<String>,
    ) {
        self.add(code, Level::Wrong, text.into(), Some(next_step.into()));
    }

    fn add(&mut self, code: &'static str, level: Level, text: String, next_step: Option<String>) {
        self.findings.0.push(Finding {
            about: self.about.clone(),
            code,
            level,
            text,
            next_step,
        });
    }
}

#[cfg(test)]
impl Findings {
    /// Codes and levels, in order.
    pub(crate) fn codes(&self) -> Vec<(&'static str, Level)> {
        let findings = self.0.iter();
        findings
            .map(|finding| (finding.code, finding.level))
            .collect()
    }

    /// The only finding of this code.
    pub(crate) fn only(&self, code: &str) -> &Finding {
        let mut same = self.0.iter().filter(|finding| finding.code == code);
        let only = same.next().expect("there is one");
        assert_eq!(same.next(), None);
        only
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_told_by_subject_each_with_one_thing_to_do() {
        let mut findings = Findings::default();
        assert_eq!(findings.told(), "nothing is wrong");
        let mut node = findings.about("node a");
        node.ok("version", "it is there");
        node.note("clock", "it is late", "set it");
        findings
            .about("port 1")
            .wrong("port", "it is taken", "take another");
        assert!(!findings.is_well());
        assert_eq!(
            findings.told(),
            "node a\n  ok     it is there\n  note   it is late\n         -> set it\nport 1\n  \
             wrong  it is taken\n         -> take another\n1 thing is wrong; 1 note"
        );
        let json = findings.to_json();
        assert_eq!(json["is_well"], false);
        assert_eq!(json["findings"][1]["level"], "note");
        assert_eq!(json["findings"][2]["next_step"], "take another");
    }
}
