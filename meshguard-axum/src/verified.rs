//! An extractor that says why a body failed.

use std::fmt;

use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use meshguard_tower::core::policy::DeliveryMode;
use meshguard_tower::{Delivery, DeliveryError, Evidence};

use crate::NotMeshed;

/// Another extractor's value, from a body that was verified to its end.
///
/// `Verified<Json<Order>>` in place of `Json<Order>`: where the body was cut, changed or went
/// bad, the rejection is the [`DeliveryError`] itself rather than a parser's complaint. What is
/// not proved at all is rejected with [`NotVerified`], which says why it is not and what would
/// prove it.
#[derive(Clone, Debug)]
pub struct Verified<T>(pub T);

/// Why a [`Verified`] value was not extracted.
#[derive(Debug)]
#[non_exhaustive]
pub enum VerifiedRejection<R> {
    /// The request did not come through the mesh.
    NotMeshed(NotMeshed),
    /// The delivery of this request is not proved.
    NotVerified(NotVerified),
    /// The body failed.
    Delivery(DeliveryError),
    /// The body is whole, but the inner extractor rejects it.
    Inner(R),
}

/// The evidence that a request lacks, and what would give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotVerified {
    /// What is proved of its delivery.
    pub evidence: Evidence,
    /// How policy has the edge deliver.
    pub mode: DeliveryMode,
}

impl fmt::Display for NotVerified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { evidence, mode } = self;
        write!(f, "this body needs evidence `verified`, and the request has `{evidence}`: ")?;
        f.write_str(match mode {
            DeliveryMode::Off => {
                "policy has `mode = \"off\"` in `[[delivery]]` for this edge, so that no caller \
                 proves its delivery; set `mode = \"require\"` or `\"prefer\"`, or take the body \
                 without `Verified`"
            }
            DeliveryMode::Prefer => {
                "policy has `mode = \"prefer\"` in `[[delivery]]` for this edge, and its caller does \
                 not speak the delivery protocol; call through a meshguard channel, or set \
                 `mode = \"require\"` to refuse such calls before they are handled"
            }
            _ => {
                "its caller does not speak the delivery protocol; call through a meshguard channel"
            }
        })
    }
}

impl std::error::Error for NotVerified {}

impl<T, S> FromRequest<S> for Verified<T>
where
    T: FromRequest<S>,
    S: Sync,
{
    type Rejection = VerifiedRejection<T::Rejection>;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let Some(delivery) = request.extensions().get::<Delivery>().cloned() else {
            return Err(VerifiedRejection::NotMeshed(NotMeshed));
        };
        let evidence = delivery.evidence();
        if evidence != Evidence::Verified {
            let mode = delivery.mode();
            return Err(VerifiedRejection::NotVerified(NotVerified { evidence, mode }));
        }
        let extracted = T::from_request(request, state).await;
        match (delivery.failure(), extracted) {
            (Some(failure), _) => Err(VerifiedRejection::Delivery(failure)),
            (None, Ok(value)) => Ok(Self(value)),
            (None, Err(rejection)) => Err(VerifiedRejection::Inner(rejection)),
        }
    }
}

impl<R: IntoResponse> IntoResponse for VerifiedRejection<R> {
    fn into_response(self) -> Response {
        match self {
            Self::NotMeshed(error) => error.into_response(),
            Self::NotVerified(lacking) => {
                (StatusCode::UNAUTHORIZED, lacking.to_string()).into_response()
            }
            Self::Delivery(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
            Self::Inner(rejection) => rejection.into_response(),
        }
    }
}

impl<R: fmt::Display> fmt::Display for VerifiedRejection<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMeshed(error) => error.fmt(f),
            Self::NotVerified(lacking) => lacking.fmt(f),
            Self::Delivery(error) => error.fmt(f),
            Self::Inner(rejection) => rejection.fmt(f),
        }
    }
}

impl<R: std::error::Error + 'static> std::error::Error for VerifiedRejection<R> {}
