//! TLS of the server: certificates, versions, who may connect.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme, SupportedProtocolVersion};

use super::config::{Config, Tls};
use crate::error::{Error, Kind, Result};

/// What a connection is wrapped in; `None` where the file at `path` says nothing of TLS.
///
/// # Errors
/// `Invalid` for certificates that cannot be read, settings that make no sense, and what we do not have.
pub(super) fn server(config: &Config, path: &Path) -> Result<Option<Arc<ServerConfig>>> {
    build(config).map_err(|what| Error::new(Kind::Invalid, format!("--http.config={}: {what}", path.display())))
}

/// What is wrong, in words.
type Wrong = String;

fn build(config: &Config) -> std::result::Result<Option<Arc<ServerConfig>>, Wrong> {
    let tls = &config.tls;
    let has_cert = !tls.cert.is_empty() || !tls.cert_file.is_empty();
    let has_key = !tls.key.is_empty() || !tls.key_file.is_empty();
    let has_ca = !tls.client_ca.is_empty() || !tls.client_ca_file.is_empty();
    if !has_cert && !has_key && !has_ca && tls.client_auth_type.is_empty() {
        return Ok(None);
    }
    if !has_cert {
        return Err("missing one of cert or cert_file".to_owned());
    }
    if !has_key {
        return Err("missing one of key or key_file".to_owned());
    }
    let chain = certificates("cert", &tls.cert, &tls.cert_file)?;
    let key = pem("key", &tls.key, &tls.key_file)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| "key holds no private key in PEM".to_owned())?;

    let provider = Arc::new(provider(tls)?);
    let verifier = clients(tls, has_ca, &provider)?;
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(tls)?)
        .map_err(|e| format!("versions and cipher suites do not go together: {e}"))?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut server = builder.with_single_cert(chain, key).map_err(|e| format!("certificate and key do not go together: {e}"))?;
    server.alpn_protocols =
        if config.http.http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    Ok(Some(Arc::new(server)))
}

/// The bytes of a PEM text that is given as such or as a file.
fn pem(name: &str, text: &str, file: &str) -> std::result::Result<Vec<u8>, Wrong> {
    if file.is_empty() {
        return Ok(text.as_bytes().to_vec());
    }
    std::fs::read(file).map_err(|e| format!("failed to read {name}_file ({file}): {e}"))
}

fn certificates(name: &str, text: &str, file: &str) -> std::result::Result<Vec<CertificateDer<'static>>, Wrong> {
    let found = CertificateDer::pem_slice_iter(&pem(name, text, file)?).collect::<std::result::Result<Vec<_>, _>>();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(format!("{name} holds no certificate in PEM")),
    }
}

fn versions(tls: &Tls) -> std::result::Result<Vec<&'static SupportedProtocolVersion>, Wrong> {
    let number = |name: &str, text: &str, default| match text {
        "" => Ok(default),
        "TLS10" | "TLS11" | "TLS12" | "TLS13" => Ok(text[3..].parse::<u8>().unwrap_or(default)),
        other => Err(format!("{name}: unknown TLS version: {other}")),
    };
    let (min, max) = (number("min_version", &tls.min_version, 12)?, number("max_version", &tls.max_version, 13)?);
    let both = [(12, &rustls::version::TLS12), (13, &rustls::version::TLS13)];
    let chosen: Vec<_> = both.into_iter().filter(|(n, _)| (min..=max).contains(n)).map(|(_, version)| version).collect();
    match chosen.is_empty() {
        true if max < 12 => Err("TLS below 1.2 is not offered; set max_version to TLS12 or TLS13".to_owned()),
        true => Err("min_version is above max_version".to_owned()),
        false => Ok(chosen),
    }
}

/// The provider of cryptography, with the suites and curves that are asked for.
fn provider(tls: &Tls) -> std::result::Result<CryptoProvider, Wrong> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    if !tls.cipher_suites.is_empty() {
        // suites of TLS 1.3 cannot be chosen, as in Go
        let name = |suite: &rustls::SupportedCipherSuite| format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
        let is_chosen =
            |suite: &rustls::SupportedCipherSuite| suite.tls13().is_some() || tls.cipher_suites.contains(&name(suite));
        let known: Vec<String> = provider.cipher_suites.iter().map(name).collect();
        if let Some(other) = tls.cipher_suites.iter().find(|suite| !known.contains(suite)) {
            return Err(format!("the cipher suite {other} is not offered; {} are", known.join(", ")));
        }
        provider.cipher_suites.retain(is_chosen);
    }
    if !tls.curve_preferences.is_empty() {
        let named = |curve: &String| match curve.as_str() {
            "CurveP256" => Ok(rustls::NamedGroup::secp256r1),
            "CurveP384" => Ok(rustls::NamedGroup::secp384r1),
            "X25519" => Ok(rustls::NamedGroup::X25519),
            "CurveP521" => Err("the curve CurveP521 is not offered".to_owned()),
            other => Err(format!("unknown curve: {other}")),
        };
        let wanted = tls.curve_preferences.iter().map(named).collect::<std::result::Result<Vec<_>, _>>()?;
        let offered = std::mem::take(&mut provider.kx_groups);
        provider.kx_groups = wanted.iter().filter_map(|name| offered.iter().copied().find(|g| g.name() == *name)).collect();
    }
    Ok(provider)
}

/// Who checks the certificates of clients, if anybody does.
fn clients(
    tls: &Tls,
    has_ca: bool,
    provider: &Arc<CryptoProvider>,
) -> std::result::Result<Option<Arc<dyn ClientCertVerifier>>, Wrong> {
    let any = |mandatory| -> Option<Arc<dyn ClientCertVerifier>> {
        Some(Arc::new(Any { mandatory, algorithms: provider.signature_verification_algorithms }))
    };
    if tls.client_allowed_sans.is_some() {
        let what = "client_allowed_sans is not in this version; sign certificates of those who may connect by a CA of their own";
        return Err(what.to_owned());
    }
    let verified = || -> std::result::Result<_, Wrong> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates("client_ca", &tls.client_ca, &tls.client_ca_file)? {
            roots.add(certificate).map_err(|e| format!("client_ca: {e}"))?;
        }
        Ok(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)))
    };
    let built = |e| format!("client_ca: {e}");
    match tls.client_auth_type.as_str() {
        "" | "NoClientCert" if has_ca => Err("client CA's have been configured without a Client Auth Policy".to_owned()),
        "" | "NoClientCert" => Ok(None),
        "RequestClientCert" => Ok(any(false)),
        "RequireAnyClientCert" | "RequireClientCert" => Ok(any(true)),
        "VerifyClientCertIfGiven" => Ok(Some(verified()?.allow_unauthenticated().build().map_err(built)?)),
        "RequireAndVerifyClientCert" => Ok(Some(verified()?.build().map_err(built)?)),
        other => Err(format!("invalid ClientAuth: {other}")),
    }
}

/// Takes any certificate whose key the client has; nobody signed for it.
#[derive(Debug)]
struct Any {
    mandatory: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Any {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> std::result::Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
