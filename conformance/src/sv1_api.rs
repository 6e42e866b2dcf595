//! A miner that speaks by the Stratum V1 client of the Stratum V2 Reference Implementation (crate
//! `sv1_api`): it writes the requests and reads the replies; here is only what it leaves to a program,
//! and the search.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};

use bitcoin::block::{Header, Version};
use bitcoin::hashes::{Hash as _, sha256d};
use bitcoin::{BlockHash, CompactTarget, TxMerkleNode};
use sv1_api::error::Error;
use sv1_api::server_to_client::{
    Configure, Notify, SetDifficulty, SetExtranonce, SetVersionMask, Subscribe,
};
use sv1_api::utils::{Extranonce, HexU32Be};
use sv1_api::{ClientStatus, IsClient, Message};

use crate::wait::LIMIT;

/// The version bits that it asks for, and rolls.
const MASK: u32 = 0x1fff_e000;
const ROLLED: u32 = 0x0aaa_a000;
/// The ids of its requests. It subscribes by itself, under that of the configuration.
const CONFIGURE: u64 = 1;
const AUTHORIZE: u64 = 2;
const SUBMIT: u64 = 3;

/// A miner and its connection.
#[derive(Debug)]
pub struct Sv1ApiMiner {
    lines: BufReader<TcpStream>,
    user: String,
    state: State,
}

/// What the crate's client asks its program to keep.
#[derive(Debug)]
struct State {
    status: ClientStatus,
    extranonce1: Option<Extranonce>,
    extranonce2_size: usize,
    mask: Option<HexU32Be>,
    min_bits: Option<HexU32Be>,
    job: Option<Notify>,
    user: String,
    is_authorized: bool,
    refused: Option<Message>,
}

impl Sv1ApiMiner {
    /// Connects, configures, subscribes and is authorized.
    ///
    /// # Panics
    ///
    /// When the client does not understand the pool, or is refused.
    pub fn start(pool: SocketAddr, user: &str) -> Self {
        let stream = TcpStream::connect(pool).expect("the pool listens");
        stream.set_read_timeout(Some(LIMIT)).expect("it is not 0");
        let mut miner = Self {
            lines: BufReader::new(stream),
            user: user.to_owned(),
            state: State {
                status: ClientStatus::Init,
                extranonce1: None,
                extranonce2_size: 0,
                mask: Some(HexU32Be(MASK)),
                min_bits: Some(HexU32Be(0)),
                job: None,
                user: user.to_owned(),
                is_authorized: false,
                refused: None,
            },
        };
        let configure = miner.state.configure(None, CONFIGURE);
        miner.send(&configure.expect("it may be configured at any time"));
        miner.read_until(|state| state.status == ClientStatus::Subscribed);
        let (user, password) = (user.to_owned(), "x".to_owned());
        let authorize = miner.state.authorize(None, AUTHORIZE, user, password);
        miner.send(&authorize.expect("it is subscribed"));
        miner.read_until(|state| state.is_authorized);
        miner
    }

    /// Waits for work, finds a block with a rolled version, and submits it.
    ///
    /// # Panics
    ///
    /// When there is no work that the client understands.
    pub fn mine_block(&mut self) -> BlockHash {
        self.read_until(|state| state.job.is_some());
        let job = self.state.job.clone().expect("it was waited for");
        let extranonce2 = vec![9; self.state.extranonce2_size];
        let header = self.solve(&job, &extranonce2);
        let extranonce2 = Extranonce::try_from(extranonce2).expect("it has the right length");
        let submit = self.state.submit(
            None,
            SUBMIT,
            self.user.clone(),
            extranonce2,
            header.time.into(),
            header.nonce.into(),
            Some(HexU32Be(ROLLED)),
        );
        self.send(&submit.expect("it has a job"));
        header.block_hash()
    }

    fn solve(&self, job: &Notify, extranonce2: &[u8]) -> Header {
        let extranonce1 = self.state.extranonce1.as_ref().expect("it is subscribed");
        let (before, after) = (job.coin_base1.as_ref(), job.coin_base2.as_ref());
        let coinbase = [before, extranonce1.as_ref(), extranonce2, after].concat();
        let root = job
            .merkle_branch
            .iter()
            .fold(sha256d::Hash::hash(&coinbase), |root, branch| {
                sha256d::Hash::hash(&[&root.to_byte_array()[..], branch.as_ref()].concat())
            });
        let version = job.version.0 & !MASK | ROLLED;
        let mut header = Header {
            version: Version::from_consensus(version.cast_signed()),
            prev_blockhash: BlockHash::from_slice(job.prev_hash.as_ref()).expect("32 bytes"),
            merkle_root: TxMerkleNode::from_raw_hash(root),
            time: job.time.0,
            bits: CompactTarget::from_consensus(job.bits.0),
            nonce: 0,
        };
        let target = header.target();
        while !target.is_met_by(header.block_hash()) {
            header.nonce += 1;
        }
        header
    }

    fn read_until(&mut self, is_there: impl Fn(&State) -> bool) {
        while !is_there(&self.state) {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line).expect("the pool answers");
            assert_ne!(read, 0, "the pool has closed the connection");
            let message: Message = serde_json::from_str(&line).expect("it reads what it is sent");
            let answer = self.state.handle_message(None, message);
            let answer = answer.unwrap_or_else(|error| panic!("{error} at {line}"));
            assert!(self.state.refused.is_none(), "{line}");
            if let Some(next) = answer {
                self.send(&next);
            }
        }
    }

    fn send(&mut self, message: &Message) {
        let line = serde_json::to_string(message).expect("it writes what it makes");
        let sent = writeln!(self.lines.get_mut(), "{line}");
        sent.expect("the connection is open");
    }
}

type Done<T = ()> = Result<T, Error>;

impl IsClient for State {
    type Error = Error;

    fn handle_error_message(
        &mut self,
        _: Option<usize>,
        refused: Message,
    ) -> Done<Option<Message>> {
        self.refused = Some(refused);
        Ok(None)
    }

    fn id_is_authorize(&mut self, _: Option<usize>, id: &u64) -> Done<Option<String>> {
        Ok((*id == AUTHORIZE).then(|| self.user.clone()))
    }

    fn id_is_submit(&mut self, _: Option<usize>, id: &u64) -> Done<bool> {
        Ok(*id == SUBMIT)
    }

    fn handle_notify(&mut self, _: Option<usize>, job: Notify) -> Done {
        self.job = Some(job);
        Ok(())
    }

    fn handle_configure(&mut self, _: Option<usize>, _: &mut Configure) -> Done {
        Ok(())
    }

    fn handle_set_difficulty(&mut self, _: Option<usize>, _: &mut SetDifficulty) -> Done {
        Ok(())
    }

    fn handle_set_extranonce(&mut self, _: Option<usize>, _: &mut SetExtranonce) -> Done {
        Ok(())
    }

    fn handle_set_version_mask(&mut self, _: Option<usize>, _: &mut SetVersionMask) -> Done {
        Ok(())
    }

    fn handle_subscribe(&mut self, _: Option<usize>, _: &Subscribe) -> Done {
        Ok(())
    }

    fn set_extranonce1(&mut self, _: Option<usize>, extranonce1: Extranonce) -> Done {
        self.extranonce1 = Some(extranonce1);
        Ok(())
    }

    fn extranonce1(&self, _: Option<usize>) -> Done<Extranonce> {
        let missing = || Error::IncorrectClientStatus("there is no extranonce yet".to_owned());
        self.extranonce1.clone().ok_or_else(missing)
    }

    fn set_extranonce2_size(&mut self, _: Option<usize>, size: usize) -> Done {
        self.extranonce2_size = size;
        Ok(())
    }

    fn extranonce2_size(&self, _: Option<usize>) -> Done<usize> {
        Ok(self.extranonce2_size)
    }

    fn version_rolling_mask(&self, _: Option<usize>) -> Done<Option<HexU32Be>> {
        Ok(self.mask.clone())
    }

    fn set_version_rolling_mask(&mut self, _: Option<usize>, mask: Option<HexU32Be>) -> Done {
        self.mask = mask;
        Ok(())
    }

    fn set_version_rolling_min_bit(&mut self, _: Option<usize>, min: Option<HexU32Be>) -> Done {
        self.min_bits = min;
        Ok(())
    }

    fn version_rolling_min_bit(&mut self, _: Option<usize>) -> Done<Option<HexU32Be>> {
        Ok(self.min_bits.clone())
    }

    fn set_status(&mut self, _: Option<usize>, status: ClientStatus) -> Done {
        self.status = status;
        Ok(())
    }

    fn signature(&self, _: Option<usize>) -> Done<String> {
        Ok("sv1_api".to_owned())
    }

    fn status(&self, _: Option<usize>) -> Done<ClientStatus> {
        Ok(self.status)
    }

    fn last_notify(&self, _: Option<usize>) -> Done<Option<Notify>> {
        Ok(self.job.clone())
    }

    fn is_authorized(&self, _: Option<usize>, name: &String) -> Done<bool> {
        Ok(self.is_authorized && *name == self.user)
    }

    fn authorize_user_name(&mut self, _: Option<usize>, name: String) -> Done {
        self.is_authorized = name == self.user;
        Ok(())
    }
}
