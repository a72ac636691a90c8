//! An extractor that says why a body failed.

use std::fmt;

use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use meshguard_tower::{Delivery, DeliveryError, Evidence};

/// Another extractor's value, from a body that was verified to its end.
///
/// `Verified<Json<Order>>` in place of `Json<Order>`: where the body was cut, changed or went
/// bad, the rejection is the [`DeliveryError`] itself rather than a parser's complaint.
#[derive(Clone, Debug)]
pub struct Verified<T>(pub T);

/// Why a [`Verified`] value was not extracted.
#[derive(Debug)]
#[non_exhaustive]
pub enum VerifiedRejection<R> {
    /// The delivery of this request is not proved: this is what there is.
    NotVerified(Evidence),
    /// The body failed.
    Delivery(DeliveryError),
    /// The body is whole, but the inner extractor rejects it.
    Inner(R),
}

impl<T, S> FromRequest<S> for Verified<T>
where
    T: FromRequest<S>,
    S: Sync,
{
    type Rejection = VerifiedRejection<T::Rejection>;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let delivery = request.extensions().get::<Delivery>().cloned();
        let evidence = delivery.as_ref().map_or(Evidence::None, Delivery::evidence);
        let Some(delivery) = delivery.filter(|_| evidence == Evidence::Verified) else {
            return Err(VerifiedRejection::NotVerified(evidence));
        };
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
            Self::NotVerified(evidence) => {
                let text = format!("the delivery must be verified, and is {evidence}");
                (StatusCode::UNAUTHORIZED, text).into_response()
            }
            Self::Delivery(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
            Self::Inner(rejection) => rejection.into_response(),
        }
    }
}

impl<R: fmt::Display> fmt::Display for VerifiedRejection<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotVerified(evidence) => write!(f, "the delivery is only {evidence}"),
            Self::Delivery(error) => error.fmt(f),
            Self::Inner(rejection) => rejection.fmt(f),
        }
    }
}

impl<R: std::error::Error + 'static> std::error::Error for VerifiedRejection<R> {}
