//! Certificates of the tests' own.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

static MADE: AtomicU32 = AtomicU32::new(1);

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate with its key, in files.
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    Server,
    Client,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Two authorities of one name could not be told apart but by their keys.
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("authority {number}");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    pub fn file(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, &self.pem).unwrap();
        path
    }

    /// `name` is the files' name too.
    pub fn identity(&self, folder: &Path, name: &str, names: &[&str], usage: Usage) -> Identity {
        self.identity_until(folder, name, names, usage, 2100)
    }

    pub fn identity_until(
        &self,
        folder: &Path,
        name: &str,
        names: &[&str],
        usage: Usage,
        year: i32,
    ) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = params(names, usage, year);
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity::write(folder, name, &pem, &key)
    }
}

fn params(names: &[&str], usage: Usage, year: i32) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(year, 1, 1);
    params.extended_key_usages.push(match usage {
        Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
        Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
    });
    params
}

impl Identity {
    pub fn self_signed(folder: &Path, name: &str, names: &[&str]) -> Self {
        let key = KeyPair::generate().unwrap();
        let pem = params(names, Usage::Server, 2100)
            .self_signed(&key)
            .unwrap()
            .pem();
        Self::write(folder, name, &pem, &key)
    }

    fn write(folder: &Path, name: &str, pem: &str, key: &KeyPair) -> Self {
        let certificate = folder.join(format!("{name}.pem"));
        let path = folder.join(format!("{name}.key"));
        std::fs::write(&certificate, pem).unwrap();
        std::fs::write(&path, key.serialize_pem()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        Self {
            certificate,
            key: path,
        }
    }

    /// As options of `serinus serve`.
    pub fn options(&self) -> [(&'static str, String); 2] {
        [
            ("--tls-certificate", self.certificate.display().to_string()),
            ("--tls-key", self.key.display().to_string()),
        ]
    }
}
