//! Running other programs, with a heading and a duration for each step.

use std::process::Command;
use std::time::Instant;

use crate::Result;

/// Runs a program to its end, its output going where ours goes.
pub(crate) fn run(command: &mut Command) -> Result {
    let shown = show(command);
    let status = command.status();
    let status = status.map_err(|error| format!("{shown}: {error}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{shown}: {status}"))
}

/// Runs a program and gives back what it wrote to standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command.output();
    let output = output.map_err(|error| format!("{shown}: {error}"))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{shown}: {}\n{message}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{shown}: {error}"))
}

/// Runs one step under a heading.
pub(crate) fn step(heading: &str, work: impl FnOnce() -> Result) -> Result {
    println!("\n== {heading}");
    let begun = Instant::now();
    let done = work();
    let outcome = if done.is_ok() { "ok" } else { "FAILED" };
    println!("== {heading}: {outcome}, {} s", begun.elapsed().as_secs());
    done
}

/// `cargo` with these arguments, the same cargo that runs us.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    command
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}
