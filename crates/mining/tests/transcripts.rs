//! How real clients talk, as data: every transcript of testkit is served.
//!
//! One test for each file in `crates/testkit/transcripts`, so that a failure names it. What stands
//! in a transcript is told by [`headframe_testkit::transcript`].

use headframe_testkit::transcript::{Transcript, replay};

macro_rules! transcripts {
    ($(fn $name:ident();)+) => {
        /// The transcripts that are replayed.
        const NAMES: &[&str] = &[$(stringify!($name)),+];

        $(#[test]
        fn $name() {
            is_served(include_str!(concat!("../../testkit/transcripts/", stringify!($name), ".jsonl")));
        })+
    };
}

transcripts! {
    fn antminer();
    fn antminer_rented();
    fn avalon_cut_name();
    fn avalon_probe();
    fn bfgminer();
    fn braiins_bmm100_sv2();
    fn braiins_sv1();
    fn braiins_sv2();
    fn btccom_switcher();
    fn cgminer();
    fn confused_proxy();
    fn cpuminer();
    fn esp_miner_sv1();
    fn esp_miner_sv1_probe();
    fn esp_miner_sv1_without_rolling();
    fn esp_miner_sv2_extended();
    fn esp_miner_sv2_fixed_version();
    fn esp_miner_sv2_older();
    fn esp_miner_sv2_probe();
    fn esp_miner_sv2_reconnect();
    fn esp_miner_sv2_standard();
    fn esp_miner_sv2_target();
    fn nerdminer();
    fn nerdqaxe_sv1();
    fn nerdqaxe_sv2();
    fn nicehash();
    fn nicehash_rented();
    fn odd_lines();
    fn sri_jd_client();
    fn sri_jd_client_channel();
    fn sri_mining_device();
    fn sri_mining_device_in_a_group();
    fn sri_standard_jobs_of_two_channels();
    fn sri_translator_aggregated();
    fn sri_translator_per_miner();
    fn sri_translator_required_names();
    fn sri_translator_worker_names();
    fn trap_acknowledgements();
    fn trap_closing_a_group();
    fn trap_extended_channels_only();
    fn trap_extensions();
    fn trap_extranonce_sizes();
    fn trap_open_refusals();
    fn trap_setup_refusals();
    fn trap_share_rules();
    fn trap_unknown_frames();
    fn whatsminer();
}

fn is_served(text: &str) {
    let played = Transcript::read(text).and_then(|transcript| replay(&transcript));
    if let Err(error) = played {
        panic!("{error}");
    }
}

#[test]
fn no_transcript_is_forgotten() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testkit/transcripts");
    let files = std::fs::read_dir(folder).expect("the folder is there");
    let mut files: Vec<String> = files
        .map(|file| file.expect("the folder can be read").file_name())
        .map(|file| file.to_string_lossy().into_owned())
        .collect();
    files.sort();
    let expected: Vec<String> = NAMES.iter().map(|name| format!("{name}.jsonl")).collect();
    assert_eq!(files, expected, "in order of the alphabet");
}
