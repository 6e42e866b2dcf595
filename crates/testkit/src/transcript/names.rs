//! Values that only the pool knows, by the names that a transcript gives them.

use std::collections::BTreeMap;

use serde_json::Value;

/// The name that stands for any value and keeps none.
const ANY: &str = "$_";

/// What the names of a transcript stand for.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<String, Value>);

impl Names {
    /// Gives `name` (without its `$`) another value.
    pub(super) fn set(&mut self, name: &str, value: Value) {
        self.0.insert(format!("${name}"), value);
    }

    /// Compares what came with what a transcript has: of an object the fields that it gives, else
    /// all. A name is bound at first sight and equal from then on.
    ///
    /// # Errors
    ///
    /// Where the first difference is.
    pub(super) fn compare(&mut self, expected: &Value, actual: &Value) -> Result<(), String> {
        match (expected, actual) {
            (Value::String(name), _) if name == ANY => Ok(()),
            (Value::String(name), _) if name.starts_with('$') => self.bind(name, actual),
            (Value::Object(fields), Value::Object(others)) => {
                fields.iter().try_for_each(|(name, field)| {
                    let other = others
                        .get(name)
                        .ok_or_else(|| format!("{name}: there is none"))?;
                    let compared = self.compare(field, other);
                    compared.map_err(|difference| format!("{name}: {difference}"))
                })
            }
            (Value::Array(values), Value::Array(others)) if values.len() == others.len() => {
                let mut pairs = values.iter().zip(others);
                pairs.try_for_each(|(value, other)| self.compare(value, other))
            }
            (Value::Number(expected), Value::Number(actual))
                if expected.as_f64() == actual.as_f64() =>
            {
                Ok(())
            }
            _ if expected == actual => Ok(()),
            _ => Err(format!("{actual} instead of {expected}")),
        }
    }

    /// `value` with what its names stand for. `$name+3` and `$name-3` are numbers near that of
    /// `$name`.
    ///
    /// # Errors
    ///
    /// When a name stands for nothing yet.
    pub(super) fn fill(&self, value: &Value) -> Result<Value, String> {
        Ok(match value {
            Value::String(name) if name.starts_with('$') => self.look_up(name)?,
            Value::Array(values) => {
                let filled = values.iter().map(|value| self.fill(value));
                Value::Array(filled.collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let filled = fields
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), self.fill(value)?)));
                Value::Object(filled.collect::<Result<_, String>>()?)
            }
            other => other.clone(),
        })
    }

    fn bind(&mut self, name: &str, actual: &Value) -> Result<(), String> {
        let bound = self.0.entry(name.to_owned());
        let bound = bound.or_insert_with(|| actual.clone());
        match bound == actual {
            true => Ok(()),
            false => Err(format!("{actual} instead of {bound}, which {name} is")),
        }
    }

    fn look_up(&self, name: &str) -> Result<Value, String> {
        if let Some(value) = self.0.get(name) {
            return Ok(value.clone());
        }
        let near = || {
            let sign = name.rfind(['+', '-'])?;
            let (name, offset) = name.split_at(sign);
            let number = self.0.get(name)?.as_i64()?;
            Some(number.checked_add(offset.parse().ok()?)?.into())
        };
        near().ok_or_else(|| format!("{name} stands for nothing yet"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_is_bound_at_first_sight() {
        let mut names = Names::default();
        let job = json!({"id": "$job", "more": [1, "$_"]});
        assert_eq!(
            names.compare(&job, &json!({"id": 7, "more": [1.0, 2], "x": 1})),
            Ok(())
        );
        assert_eq!(
            names.fill(&json!(["$job", "$job+2", "$job-9"])),
            Ok(json!([7, 9, -2]))
        );
        assert_eq!(
            names.compare(&job, &json!({"id": 8, "more": [1, 2]})),
            Err("id: 8 instead of 7, which $job is".to_owned())
        );
    }

    #[test]
    fn differences_say_where_they_are() {
        let mut names = Names::default();
        let difference = |expected: Value, actual: Value| names.compare(&expected, &actual);
        let mut difference = difference;
        assert_eq!(
            difference(json!({"a": {"b": 1}}), json!({"a": {}})),
            Err("a: b: there is none".to_owned())
        );
        assert_eq!(
            difference(json!([1, 2]), json!([1])),
            Err("[1] instead of [1,2]".to_owned())
        );
        assert_eq!(
            names.fill(&json!("$job")),
            Err("$job stands for nothing yet".to_owned())
        );
    }
}
