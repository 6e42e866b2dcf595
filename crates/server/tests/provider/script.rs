//! A client, and a provider, that say what they are told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use headframe_sv2_noise::{AuthorityPublicKey, KeyRing, Trust};
use headframe_sv2_wire::common::{SetupConnection, SetupConnectionSuccess};
use headframe_sv2_wire::template_distribution::{
    CoinbaseOutputConstraints, NewTemplate, SetNewPrevHash,
};
use headframe_sv2_wire::{
    Bytes64K, Bytes255, MAX_PAYLOAD_LEN, Message, Protocol, Seq255, Str255, U256, try_write_frame,
};
use headframe_transport::{
    AcceptSettings, Accepted, Acceptor, CurvePool, DialSettings, Dialer, Endpoint, Filled,
    FrameStream,
};
use headframe_work::Target;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::harness::LIMIT;

pub(crate) fn frame<'a>(message: &impl Message<'a>) -> Vec<u8> {
    let mut bytes = Vec::new();
    try_write_frame(message, &mut bytes).unwrap();
    bytes
}

/// Either end of a connection.
pub(crate) struct Wire(FrameStream);

impl Wire {
    /// A client's end.
    pub(crate) async fn dial(address: SocketAddr, authority: AuthorityPublicKey) -> Self {
        let settings = DialSettings {
            frame_limit: MAX_PAYLOAD_LEN,
            ..DialSettings::default()
        };
        let endpoint = Endpoint::new(&address.ip().to_string(), address.port()).unwrap();
        let dialer = Dialer::new(settings, CurvePool::new());
        Self(
            dialer
                .sv2(&endpoint, Trust::Authority(authority))
                .await
                .unwrap(),
        )
    }

    /// A client's end that is set up with these needs.
    pub(crate) async fn set_up(
        address: SocketAddr,
        authority: AuthorityPublicKey,
        size: u32,
    ) -> Self {
        let mut wire = Self::dial(address, authority).await;
        wire.say(&frame(&setup())).await;
        assert_eq!(wire.hear().await.unwrap()[2], 0x01);
        wire.say(&constraints(size)).await;
        wire
    }

    pub(crate) async fn say(&mut self, frame: &[u8]) {
        self.queue(frame);
        self.0.flush().await.unwrap();
    }

    pub(crate) fn queue(&mut self, frame: &[u8]) {
        self.0.queue_frame(frame).unwrap();
    }

    /// Whether what is queued can be written.
    pub(crate) async fn flush(&mut self) -> bool {
        timeout(LIMIT, self.0.flush()).await.unwrap().is_ok()
    }

    /// The next frame; `None` when the connection is over.
    pub(crate) async fn hear(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.0.next_frame() {
                Ok(Some(frame)) => return Some(frame.to_vec()),
                Ok(None) => {}
                Err(_) => return None,
            }
            match timeout(LIMIT, self.0.fill()).await.unwrap() {
                Ok(Filled::Bytes) => {}
                Ok(Filled::Closed) | Err(_) => return None,
            }
        }
    }

    /// The next frame of this type; `None` when the connection is over.
    pub(crate) async fn hear_type(&mut self, message_type: u8) -> Option<Vec<u8>> {
        loop {
            let frame = self.hear().await?;
            if frame[2] == message_type {
                return Some(frame);
            }
        }
    }
}

pub(crate) fn setup() -> SetupConnection<'static> {
    SetupConnection {
        protocol: Protocol::TEMPLATE_DISTRIBUTION,
        min_version: 2,
        max_version: 2,
        flags: 0,
        endpoint_host: Str255::new("localhost").unwrap(),
        endpoint_port: 1,
        vendor: Str255::new("script").unwrap(),
        hardware_version: Str255::default(),
        firmware: Str255::default(),
        device_id: Str255::default(),
    }
}

pub(crate) fn constraints(size: u32) -> Vec<u8> {
    frame(&CoinbaseOutputConstraints {
        coinbase_output_max_additional_size: size,
        coinbase_output_max_additional_sigops: 0,
    })
}

/// Somebody who answers as a provider would.
pub(crate) struct FakeProvider {
    listener: TcpListener,
    acceptor: Acceptor,
    pub(crate) authority: AuthorityPublicKey,
    _identity: watch::Sender<Arc<headframe_sv2_noise::StaticIdentity>>,
}

impl FakeProvider {
    pub(crate) async fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = u32::try_from(now.as_secs()).unwrap();
        let ring = KeyRing::create([1; 32], [2; 32], &[3; 32], now).unwrap();
        let (identity, identities) = watch::channel(Arc::new(ring.identity()));
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            acceptor: Acceptor::new(AcceptSettings::default(), identities, CurvePool::new()),
            authority: ring.authority(),
            _identity: identity,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The next client that is set up and has said what it needs.
    pub(crate) async fn client(&self) -> Wire {
        let (socket, _) = timeout(LIMIT, self.listener.accept())
            .await
            .unwrap()
            .unwrap();
        let Accepted::Sv2(stream) = self.acceptor.accept(socket).await.unwrap() else {
            panic!("it speaks Stratum V2");
        };
        let mut wire = Wire(stream);
        assert_eq!(wire.hear().await.unwrap()[2], 0x00);
        wire.say(&frame(&SetupConnectionSuccess {
            used_version: 2,
            flags: 0,
        }))
        .await;
        assert_eq!(wire.hear().await.unwrap()[2], 0x70);
        wire
    }
}

/// A template at height 200 without transactions, to be changed.
pub(crate) fn template(id: u64, future_template: bool) -> NewTemplate<'static> {
    NewTemplate {
        template_id: id,
        future_template,
        version: 0x2000_0000,
        coinbase_tx_version: 2,
        coinbase_prefix: Bytes255::new(&[0x02, 0xc8, 0x00]).unwrap(),
        coinbase_tx_input_sequence: 0xffff_fffe,
        coinbase_tx_value_remaining: 2_500_000_000,
        coinbase_tx_outputs_count: 0,
        coinbase_tx_outputs: Bytes64K::new(&[]).unwrap(),
        coinbase_tx_locktime: 199,
        merkle_path: Seq255::EMPTY,
    }
}

/// A tip that names a template.
pub(crate) fn tip(template_id: u64, hash: u8) -> Vec<u8> {
    tip_at(template_id, [hash; 32], 1_700_000_000)
}

/// The same with a whole hash, told at this time.
pub(crate) fn tip_at(template_id: u64, hash: [u8; 32], time: u32) -> Vec<u8> {
    let nbits = 0x207f_ffff;
    let target = Target::from_compact(bitcoin::CompactTarget::from_consensus(nbits));
    frame(&SetNewPrevHash {
        template_id,
        prev_hash: U256::from_le_bytes(hash),
        header_timestamp: time,
        nbits,
        target: U256::from_le_bytes(target.to_le_bytes()),
    })
}
