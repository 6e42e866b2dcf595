//! What a request says by another reading of its line: `serde_json`'s own values, by none of this
//! crate's types and parsers. For the fuzzer, which holds one reading against the other.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::{Difficulty, Fault, Method, Request};

/// The members of a line that mean something. Others are passed over unread.
const MEMBERS: [&str; 6] = ["id", "method", "params", "result", "error", "reject-reason"];
/// `serde_json` counts the depth of nesting from the line's beginning, and here from the member's, so
/// that the two may part at this depth. Its bound is 128.
const DEEP: usize = 120;

/// Both readings of a line agree: whether it is a request, of whom, and what it says.
///
/// # Panics
///
/// If they do not.
pub fn fuzz_against_serde_json(line: &[u8]) {
    let ours = Request::parse(line);
    let Ok(text) = std::str::from_utf8(line) else {
        return;
    };
    let brackets = text.bytes().filter(|byte| matches!(byte, b'[' | b'{'));
    if brackets.count() > DEEP {
        return;
    }
    let ours = ours.map_err(|error| error.fault);
    match expected(text) {
        Err(Refused::Garbage) => assert!(
            matches!(
                ours,
                Err(Fault::Blank | Fault::NotAnObject | Fault::Json { .. })
            ),
            "{ours:?} of {text:?}"
        ),
        Err(Refused::BadId) => assert_eq!(ours, Err(Fault::Id), "{text:?}"),
        Err(Refused::Methodless) => assert_eq!(ours, Err(Fault::NoMethod), "{text:?}"),
        Ok((id, name, params)) => {
            let id_of_ours = ours.as_ref().ok().map(|request| request.id.as_json());
            assert!(id_of_ours.is_none_or(|ours| ours == id), "{text:?}");
            let says = ours.map(|request| request.method);
            assert_same(says.as_ref(), &name, params, text);
        }
    }
}

/// Why a line is no request.
enum Refused {
    Garbage,
    BadId,
    Methodless,
}

/// The id as it stands in the line, the method's name, and the parameters as a list.
fn expected(text: &str) -> Result<(String, String, Params), Refused> {
    let mut members = members(text).ok_or(Refused::Garbage)?;
    let id = members.remove("id").unwrap_or_else(|| "null".to_owned());
    let mut values = HashMap::new();
    for (name, raw) in members {
        let value: Value = serde_json::from_str(&raw).map_err(|_| Refused::Garbage)?;
        values.insert(name, value);
    }
    let is_id = id.starts_with(|c: char| matches!(c, '"' | '-' | '0'..='9')) && id.len() <= 257;
    if !is_id && id != "null" {
        return Err(Refused::BadId);
    }
    let Some(Value::String(name)) = values.remove("method") else {
        return Err(Refused::Methodless);
    };
    Ok((id, name, Params(values.remove("params"))))
}

/// The known members of the first object of a line, each once, as they stand there.
fn members(text: &str) -> Option<HashMap<String, String>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
    let mut json = serde_json::Deserializer::from_str(text);
    let all = Members::deserialize(&mut json).ok()?;
    let mut members = HashMap::new();
    for (name, raw) in all.0 {
        let is_known = MEMBERS.contains(&&*name);
        if is_known && members.insert(name, raw).is_some() {
            return None;
        }
    }
    Some(members)
}

struct Members(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some((name, raw)) = map.next_entry::<String, &RawValue>()? {
                    members.push((name, raw.get().to_owned()));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// The parameters, whatever they are.
struct Params(Option<Value>);

impl Params {
    fn at(&self, index: usize) -> Option<&Value> {
        let value = match self.0.as_ref()? {
            Value::Array(items) => items.get(index),
            Value::Object(_) => None,
            bare => Some(bare).filter(|_| index == 0),
        };
        value.filter(|value| !value.is_null())
    }

    fn text(&self, index: usize) -> Option<String> {
        match self.at(index)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => number.as_i64().map(|number| number.to_string()),
            _ => None,
        }
    }

    fn digits(&self, index: usize) -> Option<String> {
        let text = self.text(index)?;
        let text = text.trim();
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let all = digits.chars().all(|c| c.is_ascii_hexdigit());
        all.then(|| digits.to_owned())
    }

    fn hex_u32(&self, index: usize) -> Option<u32> {
        let digits = self.digits(index)?;
        let number = u64::from_str_radix(&format!("0{digits}"), 16).ok();
        let number = number.filter(|_| (1..=8).contains(&digits.len()))?;
        u32::try_from(number).ok()
    }

    fn difficulty(&self, index: usize) -> Option<f64> {
        let number = match self.at(index)? {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|number| number.is_finite() && *number > 0.0)
    }
}

/// What a request says, in the methods that decide on shares and money; of the others their name.
fn assert_same(ours: Result<&Method<'_>, &Fault>, name: &str, params: Params, text: &str) {
    match name {
        "mining.submit" => {
            let theirs = submit(&params);
            let ours = match ours {
                Ok(Method::Submit(submit)) => Some((
                    submit.worker.to_string(),
                    submit.job_id.to_string(),
                    submit.extranonce2.as_bytes().to_vec(),
                    [submit.ntime, submit.nonce],
                    submit.version_bits,
                )),
                _ => None,
            };
            assert_eq!(ours, theirs, "{text:?}");
        }
        "mining.authorize" | "mining.auth" => {
            let worker = params.text(0).filter(|worker| worker.len() <= 255);
            let ours = match ours {
                Ok(Method::Authorize(authorize)) => Some(authorize.worker.to_string()),
                _ => None,
            };
            assert_eq!(ours, worker, "{text:?}");
        }
        "mining.suggest_difficulty" => {
            let theirs = params.difficulty(0).and_then(Difficulty::new);
            let ours = match ours {
                Ok(Method::SuggestDifficulty(difficulty)) => Some(*difficulty),
                _ => None,
            };
            assert_eq!(ours, theirs, "{text:?}");
        }
        "mining.subscribe" => {
            let agent = params.text(0).unwrap_or_default();
            let Ok(Method::Subscribe(subscribe)) = ours else {
                panic!("{ours:?} of {text:?}");
            };
            assert!(agent.starts_with(&*subscribe.user_agent), "{text:?}");
        }
        "mining.configure" | "mining.suggest_target" => {}
        "client.ping" => assert_eq!(ours, Ok(&Method::Ping), "{text:?}"),
        "mining.get_version" => assert_eq!(ours, Ok(&Method::GetVersion), "{text:?}"),
        name => {
            let ours = ours.map(Method::name);
            let is_same = ours.is_ok_and(|ours| name.starts_with(ours));
            assert!(is_same, "{ours:?} of {text:?}");
        }
    }
}

type Submission = (String, String, Vec<u8>, [u32; 2], Option<u32>);

fn submit(params: &Params) -> Option<Submission> {
    let Some(Value::Array(items)) = &params.0 else {
        return None;
    };
    if items.len() < 5 {
        return None;
    }
    let worker = params.text(0).filter(|worker| worker.len() <= 255)?;
    let job_id = params.text(1).filter(|id| id.len() <= 64)?;
    let digits = params.digits(2).filter(|digits| digits.len() % 2 == 0)?;
    let pairs = (0..digits.len()).step_by(2);
    let extranonce: Vec<u8> = pairs
        .filter_map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect();
    if extranonce.len() > 32 {
        return None;
    }
    let version_bits = match params.at(5) {
        None => None,
        Some(Value::String(text)) if text.is_empty() => None,
        Some(_) => Some(params.hex_u32(5)?),
    };
    let (ntime, nonce) = (params.hex_u32(3)?, params.hex_u32(4)?);
    Some((worker, job_id, extranonce, [ntime, nonce], version_bits))
}
