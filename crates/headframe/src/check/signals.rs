//! What the operator's version bits do to the blocks of a node's templates.

use std::collections::BTreeMap;

use headframe_work::{KeptVersion, Template, VersionBits};

use super::finding::Subject;

const CODE: &str = "version_bits";

/// Each bit that was chosen, for a node whose RPC tells what it knows of them.
pub(crate) fn chosen(
    to: &mut Subject<'_>,
    bits: VersionBits,
    template: &Template,
    deployments: &BTreeMap<String, u8>,
) {
    if let Err(reason) = bits.version(template) {
        return kept(to, reason);
    }
    for (bit, is_set) in bits.chosen() {
        let named = deployments.iter().find(|(_, at)| **at == bit);
        match (named, is_set) {
            (Some((name, _)), true) => {
                to.ok(CODE, format!("bit {bit} set: blocks signal for {name}"));
            }
            (Some((name, _)), false) => {
                to.ok(
                    CODE,
                    format!("bit {bit} clear: blocks do not signal for {name}"),
                );
            }
            (None, true) => to.note(
                CODE,
                format!("bit {bit} set: the node knows nothing that is signalled by it now"),
                "see whether it is the bit that is meant; a node enforces only what it knows",
            ),
            (None, false) => to.ok(
                CODE,
                format!("bit {bit} clear: the node knows nothing that is signalled by it now"),
            ),
        }
    }
}

/// The bits cannot be had: the version is the node's.
pub(crate) fn kept(to: &mut Subject<'_>, reason: KeptVersion) {
    let text = format!("blocks keep the node's version: {reason}");
    match reason {
        KeptVersion::Fixed(bit) => to.wrong(
            CODE,
            text,
            format!("take bit {bit} out of pool.version_bits, or the block would be refused"),
        ),
        KeptVersion::NoSignals(_) => to.wrong(CODE, text, "remove pool.version_bits"),
    }
}

/// A Template Provider's version is not the pool's to change.
pub(crate) fn through_provider(to: &mut Subject<'_>, bits: VersionBits) {
    if !bits.is_empty() {
        to.note(
            CODE,
            "a template provider says the version of blocks, and pool.version_bits does not hold",
            "have its operator set them, or reach the node by RPC or by its socket",
        );
    }
}

#[cfg(test)]
mod tests {
    use headframe_node::embedded::{ChainSettings, EmbeddedChain};
    use headframe_work::UnixTime;

    use super::super::finding::{Findings, Level};
    use super::*;

    fn found(version: u32, fixed: u32) -> Findings {
        let chain = EmbeddedChain::open(None, ChainSettings::default()).unwrap();
        let template = Template {
            version,
            fixed_version_bits: fixed,
            ..chain.template_at(UnixTime::from_secs(1_800_000_000))
        };
        let bits = [(4, true), (1, false), (3, true), (2, false)];
        let bits = bits
            .iter()
            .try_fold(VersionBits::default(), |bits, (bit, is_set)| {
                bits.with(*bit, *is_set)
            });
        let known = [("reduced_data", 4), ("other", 1)];
        let known = known.map(|(name, bit)| (name.to_owned(), bit)).into();
        let mut findings = Findings::default();
        chosen(
            &mut findings.about("node"),
            bits.unwrap(),
            &template,
            &known,
        );
        findings
    }

    #[test]
    fn it_is_told_what_each_bit_does() {
        let findings = found(0x2000_0000, 0);
        assert!(findings.is_well());
        assert_eq!(
            findings.told(),
            "node\n  ok     bit 1 clear: blocks do not signal for other\n  ok     bit 2 clear: the node knows nothing \
             that is signalled by it now\n  note   bit 3 set: the node knows nothing that is signalled by it now\n         \
             -> see whether it is the bit that is meant; a node enforces only what it knows\n  ok     bit 4 set: blocks \
             signal for reduced_data\nnothing is wrong; 1 note"
        );
    }

    #[test]
    fn bits_that_would_make_a_block_that_is_refused_are_wrong() {
        for (version, fixed, reason) in [
            (0x2000_0004, 1 << 2, "wants bit 2 as it is"),
            (4, 0, "00000004 does not begin with 001"),
        ] {
            let findings = found(version, fixed);
            let finding = findings.only(CODE);
            assert_eq!(finding.level, Level::Wrong);
            assert!(finding.text.contains(reason), "{}", finding.text);
            assert!(!findings.is_well());
        }
    }
}
