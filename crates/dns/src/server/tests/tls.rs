//! Upstream servers that speak DNS over TLS, with a certificate that an authority of our own has signed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::net::*;
use super::upstream::{Manner, Upstream};
use crate::asking;
use crate::forward::settings::{Route, Tls, Upstream as UpstreamSettings};
use crate::forward::{Forwarder, Settings};
use crate::name::Name;

const WWW: &str = "www.example.com";
const TOLD: &str = "www.example.com. A 192.0.2.1";

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
    folder: PathBuf,
}

impl Authority {
    fn new(test: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = std::env::temp_dir().join(format!("dns-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("authority.pem");
        std::fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, file, folder }
    }

    fn signed(&self, names: &[SanType]) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names.to_vec();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// What a server with these names needs.
    fn acceptor(&self, names: &[SanType]) -> TlsAcceptor {
        self.acceptor_of(names, None)
    }

    /// The same, of a server that asks for a certificate of this authority's.
    fn acceptor_of(&self, names: &[SanType], clients: Option<&Self>) -> TlsAcceptor {
        let (certificate, key) = self.signed(names);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.issuer.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let mut config = builder
            .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .unwrap();
        config.alpn_protocols = vec![b"dot".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn settings(address: SocketAddr, name: Option<&str>, authorities: &Path) -> Settings {
    let tls = Tls { name: name.map(str::to_owned), authorities: Some(authorities.to_owned()), identity: None };
    let mut route = Route::to(Name::parse(".").unwrap(), []);
    route.upstreams = vec![UpstreamSettings { address, tls: Some(tls) }];
    Settings { routes: vec![route], ..Settings::default() }
}

async fn told(settings: Settings) -> (String, String, Arc<Forwarder>) {
    let forwarder = Arc::new(Forwarder::new(settings).unwrap());
    let server = crate::Server::start(&config(LOCAL), None, Some(Arc::clone(&forwarder))).unwrap();
    let address = server.addresses()[0];
    let first = asking::told(&udp(address, &question(WWW)).await);
    let second = asking::told(&udp(address, &question("second.example.com")).await);
    server.shutdown().await;
    (first, second, forwarder)
}

#[test]
fn names_are_asked_for_over_tls_on_one_connection() {
    inside("fwd-tls", &[], || async {
        let authority = Authority::new("tls");
        let upstream = Upstream::start_tls(Manner::Knows(60), authority.acceptor(&[dns("dns.example.net")])).await;
        let (first, second, forwarder) =
            told(settings(upstream.address, Some("dns.example.net"), &authority.file)).await;
        assert_eq!((first.as_str(), second.as_str()), (TOLD, "second.example.com. A 192.0.2.1"));
        assert_eq!((upstream.asked(), upstream.streams()), (0, 1), "no datagram leaves");
        let counts = &forwarder.upstream_counts()[0];
        assert_eq!((counts.protocol, counts.connected, counts.reused), ("tcp-tls", 1, 1));
    });
}

#[test]
fn without_a_name_the_certificate_is_of_the_address() {
    inside("fwd-tls-address", &[], || async {
        let authority = Authority::new("tls-address");
        let of_address = authority.acceptor(&[SanType::IpAddress("127.0.0.1".parse().unwrap())]);
        let upstream = Upstream::start_tls(Manner::Knows(60), of_address).await;
        assert_eq!(told(settings(upstream.address, None, &authority.file)).await.0, TOLD);
        let upstream = Upstream::start_tls(Manner::Knows(60), authority.acceptor(&[dns("dns.example.net")])).await;
        assert_eq!(told(settings(upstream.address, None, &authority.file)).await.0, "SERVFAIL");
    });
}

#[test]
fn a_server_that_is_not_who_it_should_be_is_not_believed() {
    inside("fwd-tls-liar", &[], || async {
        let (authority, other) = (Authority::new("tls-ours"), Authority::new("tls-other"));
        let liar = Upstream::start_tls(Manner::Knows(60), authority.acceptor(&[dns("evil.example.net")])).await;
        assert_eq!(told(settings(liar.address, Some("dns.example.net"), &authority.file)).await.0, "SERVFAIL");
        let unknown = Upstream::start_tls(Manner::Knows(60), other.acceptor(&[dns("dns.example.net")])).await;
        assert_eq!(told(settings(unknown.address, Some("dns.example.net"), &authority.file)).await.0, "SERVFAIL");
        let plain = Upstream::start(Manner::Knows(60)).await;
        let (first, ..) = told(settings(plain.address, Some("dns.example.net"), &authority.file)).await;
        assert_eq!((first.as_str(), plain.asked()), ("SERVFAIL", 0), "it is never asked in the clear");
    });
}

#[test]
fn a_server_that_asks_who_we_are_is_told() {
    inside("fwd-tls-identity", &[], || async {
        let authority = Authority::new("tls-identity");
        let acceptor = authority.acceptor_of(&[dns("dns.example.net")], Some(&authority));
        let upstream = Upstream::start_tls(Manner::Knows(60), acceptor).await;
        let nobody = settings(upstream.address, Some("dns.example.net"), &authority.file);
        assert_eq!(told(nobody.clone()).await.0, "SERVFAIL");
        let (certificate, key) = authority.signed(&[dns("node.example.net")]);
        let files = (authority.folder.join("own.pem"), authority.folder.join("own-key.pem"));
        std::fs::write(&files.0, certificate.pem()).unwrap();
        std::fs::write(&files.1, key.serialize_pem()).unwrap();
        let mut somebody = nobody;
        somebody.routes[0].upstreams[0].tls.as_mut().unwrap().identity = Some(files);
        assert_eq!(told(somebody).await.0, TOLD);
    });
}

#[test]
fn files_that_are_no_certificates_are_named() {
    let authority = Authority::new("tls-files");
    let address = "127.0.0.1:853".parse().unwrap();
    let failure = |settings| {
        let error = Forwarder::new(settings).unwrap_err();
        format!("{error}: {}", std::error::Error::source(&error).unwrap())
    };
    let missing = authority.folder.join("missing.pem");
    let text = failure(settings(address, None, &missing));
    assert!(text.contains("127.0.0.1:853") && text.contains("missing.pem"), "{text}");
    let empty = authority.folder.join("empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    let text = failure(settings(address, None, &empty));
    assert!(text.contains("empty.pem: there are none"), "{text}");
    let text = failure(settings(address, Some("not a name"), &authority.file));
    assert!(text.contains("not a name"), "{text}");
}
