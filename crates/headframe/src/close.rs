//! `headframe close`: ends what the running pool has with a worker. The pool decides how, and says what it did.

use anyhow::Context as _;
use headframe_api::{CloseRequest, ControlDone, ControlRequest};

use crate::ask::{Answer, in_runtime};
use crate::{cli, data, say};

pub(crate) fn run(command: &cli::Close) -> anyhow::Result<()> {
    let loaded = data::configuration(
        command.config.as_deref(),
        data::data_dir_flag(command.data_dir.as_ref()),
    )?;
    let request = ControlRequest::Close(CloseRequest {
        worker: command.worker.clone(),
    });
    let (answer, _) = in_runtime(Answer::ask(&request, &loaded.config.data_dir))?;
    let answer = serde_json::from_slice(&answer);
    let ControlDone { done } = answer.context("the pool's answer is not understood")?;
    say(&done);
    Ok(())
}
