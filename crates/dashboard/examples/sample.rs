//! Serves a made-up pool, to look at the page without one:
//! `cargo run -p headframe-dashboard --example sample -- [scene] [address:port]`.

use std::time::Duration;

use headframe_dashboard::{Settings, serve};
use tokio::net::TcpListener;

#[path = "../tests/sample/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod sample;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let scene = arguments.next().unwrap_or_else(|| "running".into());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8081".into());
    if !sample::SCENES.contains(&scene.as_str()) {
        return Err(format!(
            "there is no scene {scene}; there are {}",
            sample::SCENES.join(", ")
        )
        .into());
    }
    let now = sample::now();
    let snapshot = sample::snapshot(&scene, now, 0);
    let (stage, feed) = sample::Stage::set(snapshot, sample::history(&scene, now));
    let listener = TcpListener::bind(&address).await?;
    println!(
        "the scene \"{scene}\" is on http://{}",
        listener.local_addr()?
    );
    let live = async {
        for tick in 1.. {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = sample::now();
            stage.show(sample::snapshot(&scene, now, tick));
            if tick % 5 == 0 {
                stage.chart(sample::history(&scene, now));
            }
        }
    };
    let interrupted = async {
        // Without a handler Ctrl-C ends the process all the same.
        let _ = tokio::signal::ctrl_c().await;
    };
    let served = serve(listener, feed, Settings::default(), interrupted);
    tokio::select! {
        served = served => Ok(served?),
        () = live => Ok(()),
    }
}
