//! The page at its edges: a young pool, the longest names and greatest numbers, and a visitor who is
//! in the middle of something when the figures change.

use headframe_api::{ListenerProtocol, MinerCounts, PoolState, SetupStep};
use serde_json::json;

use crate::{Dashboard, sample, show_as, with_browser};

const COUNTED: &str = "document.querySelectorAll('#miner-rows tr').length";

fn text(selector: &str) -> String {
    format!("document.querySelector('{selector}')?.textContent")
}

#[test]
fn a_rate_is_not_said_of_a_time_that_was_not_observed() {
    with_browser(|browser| {
        let dashboard = Dashboard::start("young");
        browser.open(&dashboard.url());
        browser.until(&format!(
            "{} === 'Hashrate, since start'",
            text("#rate-label")
        ));
        assert_eq!(
            browser.value_of(&text("#rates")),
            "1 min6.31 TH/s1 hour–24 hours–"
        );
        browser.until(&format!("{COUNTED} === 4"));
        assert_eq!(browser.value_of(&text("#miner-rows .rate .sub")), "");
        dashboard.publish(|snapshot| {
            snapshot.summary.hashes_per_second.observed_seconds = 720;
        });
        browser.until(&format!(
            "{} === 'Hashrate, five minutes'",
            text("#rate-label")
        ));
        assert_eq!(
            browser.value_of(&text("#rates")),
            "1 min6.31 TH/ssince start6.61 TH/s24 hours–"
        );
        show_as(browser, 1120, 800, "light");
        let room = "(({ scrollWidth, clientWidth }) => clientWidth - scrollWidth)(document.querySelector('#rates'))";
        assert_eq!(browser.value_of(room), 0);
    });
}

#[test]
fn after_a_block_the_round_is_new_and_the_best_share_ever_stays() {
    with_browser(|browser| {
        let dashboard = Dashboard::start("young");
        browser.open(&dashboard.url());
        browser.until(&format!("{} === 'New round'", text("#closest")));
        assert_eq!(
            browser.value_of(&text("#best-ever")),
            "Best ever 3.77 T (2.5 %)"
        );
        dashboard.publish(|snapshot| {
            let mut nearly = snapshot
                .summary
                .best
                .ever
                .clone()
                .expect("the sample has one");
            nearly.percent_of_block = 99.97;
            snapshot.summary.best.this_round = Some(nearly);
        });
        browser.until(&format!("{} === '99.9 % of a block'", text("#closest")));
        assert_eq!(
            browser.value_of("document.querySelector('#best-ever').hidden"),
            true
        );
    });
}

/// Whatever else is wrong, a phone says first whether the pool works, and then what to do.
#[test]
fn with_an_urgent_alarm_a_phone_says_first_whether_the_pool_works() {
    with_browser(|browser| {
        let dashboard = Dashboard::start("extremes");
        show_as(browser, 390, 844, "dark");
        browser.open(&dashboard.url());
        browser.until("document.querySelectorAll('#alarms li').length === 3");
        let tops = "[...document.querySelector('#overview').children]
            .map((card) => [card.getBoundingClientRect().top, card.querySelector('h2').textContent])
            .sort(([a], [b]) => a - b).map(([, title]) => title).slice(0, 2)";
        assert_eq!(
            browser.value_of(tops),
            serde_json::json!(["Is it working", "What needs you"])
        );
    });
}

#[test]
fn set_up_mode_speaks_in_sentences_and_claims_nothing_unknown() {
    with_browser(|browser| {
        let dashboard = Dashboard::start("setup");
        dashboard.publish(|snapshot| {
            snapshot.summary.state = PoolState::Setup(SetupStep {
                missing: "no Bitcoin node was found on this computer".into(),
                next_step: "start Bitcoin Core; the pool goes on by itself".into(),
                command: None,
            });
        });
        browser.open(&dashboard.url());
        browser.until("document.querySelector('#main')?.hidden === false");
        assert_eq!(
            browser.value_of(&text("#setup-title")),
            "No Bitcoin node was found on this computer."
        );
        assert_eq!(
            browser.value_of(&text("#setup-step")),
            "Start Bitcoin Core; the pool goes on by itself."
        );
        for unknown in ["#network", "#node-and-pool"] {
            let hidden = format!("document.querySelector('{unknown}').hidden");
            assert_eq!(browser.value_of(&hidden), true, "{unknown}");
        }
    });
}

/// Nothing is wider than the screen, and no text runs out of its cell.
#[test]
fn the_longest_names_and_greatest_numbers_fit() {
    with_browser(|browser| {
        for (width, height) in [
            (360, 780),
            (390, 844),
            (768, 1024),
            (1000, 800),
            (1120, 800),
            (1280, 900),
        ] {
            for scene in ["extremes", "farm", "refused", "young"] {
                let dashboard = Dashboard::start(scene);
                show_as(browser, width, height, "light");
                browser.open(&dashboard.url());
                browser.until(&format!("{COUNTED} > 3"));
                let case = format!("{scene} at {width}");
                assert_eq!(
                    browser.value_of("document.documentElement.scrollWidth"),
                    width,
                    "{case}"
                );
                let run_over = browser.value_of(
                    "[...document.querySelectorAll('#miner-rows td, .card > *, .figure, dd')]
                        .filter((element) => element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 1)
                        .map((element) => `${element.className}: ${element.textContent}`.slice(0, 90))
                        .join()",
                );
                assert_eq!(run_over, "", "{case}");
            }
        }
    });
}

#[test]
fn a_row_names_the_commonest_reasons_and_its_details_all() {
    with_browser(|browser| {
        let dashboard = Dashboard::start("extremes");
        browser.open(&dashboard.url());
        browser.until(&format!("{COUNTED} === 25"));
        assert_eq!(
            browser.value_of(&text("#miner-rows .rejected .sub")),
            "other 1,000,010, unreadable 1,000,009, 9 more"
        );
        browser.value_of("document.querySelector('#miner-rows button').click()");
        let details = browser.value_of(&text("#miner-rows .detail"));
        let details = details.as_str().expect("a text");
        assert!(details.contains("stale 1,000,000"), "{details}");
        assert!(details.contains("not authorised 1,000,008"), "{details}");
    });
}

/// A device that cuts the coinbase looks well by itself; its row says that it is not.
#[test]
fn a_miner_whose_coinbase_is_too_long_is_told_in_its_row() {
    with_browser(|browser| {
        let dashboard = Dashboard::start("running");
        browser.open(&dashboard.url());
        browser.until("document.querySelectorAll('#miner-rows tr').length > 0");
        assert_eq!(browser.value_of(&text("#miner-rows .cause")), "");
        dashboard.publish(|snapshot| {
            for miner in &mut snapshot.miners {
                miner.coinbase_too_long = Some(headframe_api::CoinbaseTooLong {
                    bytes: 1_286,
                    limit_bytes: 255,
                });
            }
        });
        browser.until("document.querySelector('#miner-rows .cause').textContent !== ''");
        let said = browser.value_of(&text("#miner-rows .cause"));
        let said = said.as_str().expect("a text");
        assert!(
            said.contains("1,286 bytes") && said.contains("255 at most"),
            "{said}"
        );
        browser.value_of("document.querySelector('#miner-rows button').click()");
        let facts = browser.value_of(&text("#miner-rows .detail"));
        let facts = facts.as_str().expect("a text");
        assert!(facts.contains("1,286 bytes"), "{facts}");
    });
}

#[test]
fn a_quiet_miner_s_row_says_why_it_probably_is() {
    with_browser(|browser| {
        let dashboard = Dashboard::start("farm");
        browser.open(&dashboard.url());
        browser.until("document.querySelectorAll('#miner-rows tr').length === 25");
        browser.value_of("(() => { const field = document.querySelector('#filter'); field.value = 'quiet'; field.dispatchEvent(new Event('change')); })()");
        browser
            .until("document.querySelectorAll('#miner-rows tr[data-state=quiet]').length === 20");
        let said = browser.value_of(&text("#miner-rows tr .cause"));
        let said = said.as_str().expect("text");
        assert!(said.contains("wrong byte order") || said.contains("stopped hashing"));
        browser.value_of("document.querySelector('#miner-rows .worker button').click()");
        let facts = browser.value_of(&text("#miner-rows .detail"));
        let facts = facts.as_str().expect("text");
        assert!(
            facts.contains("Probably") && facts.contains("; a share usually takes it 4 seconds"),
            "{facts}"
        );
        // When it mines again there is nothing to explain.
        dashboard.publish(|snapshot| {
            for miner in &mut snapshot.miners {
                (miner.state, miner.silence) = (headframe_api::MinerState::Mining, None);
            }
        });
        browser.value_of("(() => { const field = document.querySelector('#filter'); field.value = ''; field.dispatchEvent(new Event('change')); })()");
        browser.until("[...document.querySelectorAll('#miner-rows .cause')].every((it) => it.textContent === '')");
    });
}

#[test]
fn a_name_cannot_turn_or_hide_the_text_beside_it() {
    with_browser(|browser| {
        let dashboard = Dashboard::start("extremes");
        dashboard.publish(|snapshot| snapshot.miners.truncate(4));
        browser.open(&dashboard.url());
        browser.until(&format!("{COUNTED} === 4"));
        let names = browser.value_of(
            "[...document.querySelectorAll('#miner-rows button')].map((button) => button.textContent).sort()",
        );
        let wanted = [
            "(no name)",
            "<b>bold</b>&amp;",
            "矿机🔥👩‍🏭",
            "\u{fffd}backwards\u{fffd}\u{fffd}and on",
        ];
        assert_eq!(names, serde_json::json!(wanted));
    });
}

/// What is being read, selected or typed stays where it is.
#[test]
fn an_update_moves_nothing_that_it_does_not_change() {
    with_browser(|browser| {
        let dashboard = Dashboard::start("running");
        show_as(browser, 1280, 900, "light");
        browser.open(&dashboard.url());
        browser.until(&format!("{COUNTED} === 4"));
        browser.value_of("document.querySelector('#miner-rows button').click()");
        let columns = "[...document.querySelectorAll('#miner-heads th')].map((head) => head.getBoundingClientRect().left)";
        let before = browser.value_of(columns);
        browser.value_of(
            "[window.user, window.hashrate] = [0, 6].map((i) => document.querySelectorAll('#miner-rows .detail dd')[i])",
        );
        dashboard.publish(|snapshot| {
            for miner in &mut snapshot.miners {
                miner.hashes_per_second.one_minute = 999e15;
                miner.shares.accepted = 1_234_567_890;
                miner.difficulty = 99_999.0;
            }
        });
        browser.until(
            "document.querySelector('#miner-rows .accepted').textContent === '1,234,567,890'",
        );
        assert_eq!(browser.value_of(columns), before);
        assert_eq!(browser.value_of("window.user.isConnected"), true);
        assert_eq!(browser.value_of("window.hashrate.isConnected"), false);
    });
}

#[test]
fn the_fields_stay_under_the_hands_of_who_fills_them_in() {
    with_browser(|browser| {
        let dashboard = Dashboard::start("empty");
        browser.open(&dashboard.url());
        browser.until("document.querySelector('#values .value')");
        let is_last = "document.querySelector('#main').lastElementChild.id === 'connect-section'";
        assert_eq!(browser.value_of(is_last), false);
        browser.value_of("document.querySelector('#address').focus()");
        let first = sample::snapshot("running", sample::now(), 1)
            .miners
            .remove(0);
        dashboard.publish(|snapshot| {
            snapshot.miners.push(first);
            snapshot.summary.miners = MinerCounts {
                connected: 1,
                sv2_extended: 1,
                ..MinerCounts::default()
            };
        });
        browser.until(&format!("{} === 'Mining'", text("#state")));
        assert_eq!(browser.value_of(is_last), false);
        assert_eq!(browser.value_of("document.activeElement.id"), "address");
        browser.value_of("document.querySelector('#address').blur()");
        dashboard.publish(|_| {});
        browser.until(is_last);
    });
}

#[test]
fn copying_keeps_the_focus_and_is_said_to_who_cannot_see_it() {
    with_browser(|browser| {
        let dashboard = Dashboard::start("running");
        browser.open(&dashboard.url());
        browser.until("document.querySelector('#values button')");
        browser.value_of(
            "(() => {
                Object.defineProperty(navigator, 'clipboard', { value: undefined });
                window.button = document.querySelector('#values button');
                button.focus();
                button.click();
            })()",
        );
        browser.until("button.getAttribute('aria-label') === 'Copied Stratum Protocol'");
        assert_eq!(browser.value_of("document.activeElement === button"), true);
        browser.until("button.getAttribute('aria-label') === 'Copy Stratum Protocol'");
    });
}

#[test]
fn of_several_ports_one_is_chosen_and_the_key_is_the_one_of_that_port() {
    with_browser(|browser| {
        let dashboard = Dashboard::start("running");
        browser.open(&dashboard.url());
        browser.until("document.querySelectorAll('#values button').length === 6");
        assert_eq!(
            browser.value_of("document.querySelector('#port-field').hidden"),
            true
        );
        let other = "9bXiEd8boQVhq7WddEcERUL5tyyJVFYdU8th3HfbNXK3Yw6GRXh";
        dashboard.publish(|snapshot| {
            let listeners = &mut snapshot.summary.connect.listeners;
            let mut alone = listeners[0].clone();
            alone.port = 3335;
            alone.protocols = vec![ListenerProtocol::Sv2];
            alone.authority_key = Some(other.into());
            listeners.push(alone);
        });
        browser.until("!document.querySelector('#port-field').hidden");
        let titles =
            browser.value_of("[...document.querySelector('#port').options].map((it) => it.text)");
        assert_eq!(titles, json!(["3333: SV1, SV2", "3335: SV2, another key"]));
        browser.until(
            "[...document.querySelectorAll('#values dd')].some((it) => it.textContent === '3333')",
        );
        browser.value_of(
            "(() => { const box = document.querySelector('#port'); box.selectedIndex = 1; box.dispatchEvent(new Event('input')); })()",
        );
        for shown in ["3335", other] {
            browser.until(&format!(
                "[...document.querySelectorAll('#values dd')].some((it) => it.textContent === '{shown}')"
            ));
        }
        // A device that speaks SV1 has one port, and is not asked.
        browser.value_of(
            "(() => { const box = document.querySelector('#device'); box.selectedIndex = 1; box.dispatchEvent(new Event('input')); })()",
        );
        browser.until("document.querySelector('#port-field').hidden");
        browser.until(
            "[...document.querySelectorAll('#values dd')].some((it) => it.textContent === '3333')",
        );
    });
}
