//! Both ends of a TLS connection in memory: ours, and rustls' client.

use std::io::Read;
use std::sync::{Arc, LazyLock};

use rustls::client::{ClientConnection, Resumption};
use rustls::crypto::aws_lc_rs::{cipher_suite as suites, default_provider};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite};

use super::kernel::KernelSealing;
use super::open::{Failed, Received};
use super::record::Sealer;
use super::session::Session;

/// Every version with every cipher.
pub(super) const SUITES: [SupportedCipherSuite; 6] = [
    suites::TLS13_AES_128_GCM_SHA256,
    suites::TLS13_AES_256_GCM_SHA384,
    suites::TLS13_CHACHA20_POLY1305_SHA256,
    suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    suites::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    suites::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
];
/// As long as that of a worker.
pub(super) const SCRATCH_BYTES: usize = 16 * 1024;

/// Both ends of a connection, and what is on its way between them.
pub(super) struct Scene {
    pub(super) session: Session,
    pub(super) client: ClientConnection,
    /// What the client has opened. Reading it ends with would-block where the peer has not closed.
    pub(super) opened: Vec<u8>,
    pub(super) scratch: Vec<u8>,
}

/// Of both ends, with a new key.
pub(super) fn configs(suite: SupportedCipherSuite) -> (ServerConfig, ClientConfig) {
    let pair = rcgen::generate_simple_self_signed(["localhost", "127.0.0.1"].map(str::to_owned))
        .expect("a key");
    let chain = vec![pair.cert.der().clone()];
    let key = PrivatePkcs8KeyDer::from(pair.signing_key.serialize_der());
    let mut roots = RootCertStore::empty();
    roots.add(chain[0].clone()).expect("a certificate");
    let mut provider = default_provider();
    provider.cipher_suites = vec![suite];
    let provider = Arc::new(provider);
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS12, &TLS13][..])
        .or_else(|_| {
            ServerConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(&[suite.version()])
        })
        .expect("a version")
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::Pkcs8(key))
        .expect("a pair");
    server.enable_secret_extraction = true;
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[suite.version()])
        .expect("a version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.enable_secret_extraction = true;
    client.resumption = Resumption::disabled();
    (server, client)
}

/// Of both ends, for each suite: a key takes longer than a handshake.
static CONFIGS: LazyLock<[(ServerConfig, Arc<ClientConfig>); SUITES.len()]> = LazyLock::new(|| {
    SUITES.map(|suite| {
        let (server, client) = configs(suite);
        (server, Arc::new(client))
    })
});

impl Scene {
    pub(super) fn new(suite: SupportedCipherSuite) -> Self {
        Self::asking_for("localhost", suite)
    }

    pub(super) fn asking_for(name: &'static str, suite: SupportedCipherSuite) -> Self {
        let of_suite = SUITES.iter().position(|known| *known == suite);
        let (server, client) = &CONFIGS[of_suite.expect("one of them")];
        let name = ServerName::try_from(name).expect("a name");
        let mut client = ClientConnection::new(Arc::clone(client), name).expect("a client");
        client.set_buffer_limit(None);
        Self {
            session: Session::new(server, Arc::new(KernelSealing::off())).expect("a session"),
            client,
            opened: Vec::new(),
            scratch: vec![0; SCRATCH_BYTES],
        }
    }

    /// One whose handshake is over.
    pub(super) fn established(suite: SupportedCipherSuite) -> Self {
        Self::new(suite).shaken()
    }

    pub(super) fn shaken(self) -> Self {
        let mut scene = self;
        while scene.session.is_handshaking() {
            let bytes = scene.client_output();
            let received = scene.receive(&bytes).expect("a handshake");
            assert!(
                received.is_empty() && !bytes.is_empty(),
                "nothing but the handshake"
            );
            scene.carry_to_client();
        }
        scene
    }

    pub(super) fn client_output(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut bytes).expect("memory");
        }
        bytes
    }

    pub(super) fn carry_to_client(&mut self) {
        let output = self.session.output().to_vec();
        self.session.on_taken(output.len());
        self.deliver(&output);
    }

    pub(super) fn deliver(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.client.read_tls(&mut bytes).expect("memory");
            self.client.process_new_packets().expect("records");
            let _ = self.client.reader().read_to_end(&mut self.opened);
        }
    }

    /// The session gets these bytes, in reads as the socket would make them. Answers the plaintext.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Failed> {
        receive(&mut self.session, &mut self.scratch, bytes)
    }

    /// What the client would seal, for records that it would not send.
    pub(super) fn sealer_of_client(self) -> (Session, Sealer) {
        let version = self.client.protocol_version().expect("it is open");
        let secrets = self.client.dangerous_extract_secrets().expect("keys");
        let sealer = Sealer::new(version, secrets.tx).expect("a cipher");
        (self.session, sealer)
    }
}

/// What `session` makes of these bytes, in reads of `scratch` at most. Answers the plaintext.
pub(super) fn receive(
    session: &mut Session,
    scratch: &mut [u8],
    mut bytes: &[u8],
) -> Result<Vec<u8>, Failed> {
    let mut plain = Vec::new();
    loop {
        let mut received = session.next(scratch)?;
        if received == Received::Nothing {
            if bytes.is_empty() {
                return Ok(plain);
            }
            let (now, later) = bytes.split_at(bytes.len().min(scratch.len()));
            scratch[..now.len()].copy_from_slice(now);
            bytes = later;
            received = session.receive(scratch, now.len())?;
        }
        match received {
            Received::Plain(count) => plain.extend_from_slice(&scratch[..count]),
            Received::Nothing | Received::Established => {}
            Received::Closed => return Ok(plain),
            Received::NotTls(_) => panic!("it is TLS"),
        }
    }
}
