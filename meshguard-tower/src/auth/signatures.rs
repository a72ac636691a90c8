//! Signatures of proofs, by aws-lc-rs.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use meshguard_core::dpop::{Algorithm, PublicKey, SignatureCheck};

pub(super) struct AwsLc;

impl SignatureCheck for AwsLc {
    fn holds(
        &self,
        algorithm: Algorithm,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let by = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
        };
        match (algorithm, key) {
            (Algorithm::Es256, PublicKey::P256 { x, y }) => {
                by(&ECDSA_P256_SHA256_FIXED, &[&[4], &x[..], y].concat())
            }
            (Algorithm::Es384, PublicKey::P384 { x, y }) => {
                by(&ECDSA_P384_SHA384_FIXED, &[&[4], &x[..], y].concat())
            }
            (Algorithm::EdDsa, PublicKey::Ed25519(x)) => by(&ED25519, x),
            (Algorithm::Ps256 | Algorithm::Rs256, PublicKey::Rsa { n, e }) => {
                let by = match algorithm {
                    Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
                    _ => &RSA_PKCS1_2048_8192_SHA256,
                };
                RsaPublicKeyComponents { n, e }.verify(by, message, signature).is_ok()
            }
            _ => false,
        }
    }
}
