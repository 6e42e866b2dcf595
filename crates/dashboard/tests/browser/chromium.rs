//! Headless Chromium over the DevTools protocol, spoken through a pipe: no port, no WebSocket, no
//! driver. Messages are JSON, each ended by a zero byte.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

/// Not a bar to pass: only so that a browser that hangs fails the test instead of holding it.
const PATIENCE: Duration = Duration::from_secs(90);

/// The pipe is file descriptors 3 (to the browser) and 4 (from it), which only a shell can set
/// without unsafe code.
const LAUNCH: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#;

/// A running browser with one open page.
pub(crate) struct Chromium {
    process: Child,
    to_browser: ChildStdin,
    from_browser: Receiver<Value>,
    last_id: u64,
    session: String,
}

/// The browser to test with: `CHROMIUM`, or Debian's.
pub(crate) fn find() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let usual = Path::new("/usr/bin/chromium").to_path_buf();
    named.or_else(|| usual.exists().then_some(usual))
}

impl Chromium {
    /// Starts the browser with an empty page and a profile in `profile`.
    pub(crate) fn start(program: &Path, profile: &Path) -> Self {
        let mut process = Command::new("sh")
            .args(["-c", LAUNCH])
            .arg(program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
            ])
            .args(["--no-first-run", "--disable-background-networking"])
            .args([
                "--disable-component-update",
                "--disable-sync",
                "--hide-scrollbars",
            ])
            .args(["--disable-dev-shm-usage", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the browser starts");
        let to_browser = process.stdin.take().expect("stdin is a pipe");
        let output = process.stdout.take().expect("stdout is a pipe");
        let (messages, from_browser) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(output).split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("messages are JSON");
                if messages.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self {
            process,
            to_browser,
            from_browser,
            last_id: 0,
            session: String::new(),
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = attached["sessionId"]
            .as_str()
            .expect("a session")
            .to_owned();
        browser
    }

    /// Makes one call and waits for its result.
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to_browser
            .write_all(&bytes)
            .expect("the browser takes calls");
        loop {
            let answer = self.from_browser.recv_timeout(PATIENCE);
            let mut answer = answer.unwrap_or_else(|_| panic!("no answer to {method} {params}"));
            if answer["id"] == self.last_id {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].take();
            }
        }
    }

    pub(crate) fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
    }

    /// The value of a JavaScript expression; a promise is waited for.
    pub(crate) fn value_of(&mut self, expression: &str) -> Value {
        let params = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true,
        });
        let mut answer = self.call("Runtime.evaluate", params);
        assert!(
            answer.get("exceptionDetails").is_none(),
            "{expression}: {answer}"
        );
        answer["result"]["value"].take()
    }

    /// Waits until a JavaScript condition holds, looking at it whenever the document changes.
    pub(crate) fn until(&mut self, condition: &str) {
        self.value_of(&format!(
            "new Promise((resolve) => {{
                const look = () => ({condition}) && (watch.disconnect(), resolve(true));
                const watch = new MutationObserver(look);
                watch.observe(document, {{ subtree: true, childList: true, attributes: true,
                    characterData: true }});
                look();
            }})"
        ));
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // The wrapper script of some distributions would survive its browser otherwise.
        let close = json!({ "id": 0, "method": "Browser.close" }).to_string() + "\0";
        let asked = self.to_browser.write_all(close.as_bytes());
        while asked.is_ok()
            && self
                .from_browser
                .recv_timeout(Duration::from_secs(5))
                .is_ok()
        {}
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
