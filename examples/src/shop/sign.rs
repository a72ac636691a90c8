//! What an error is called.

use std::error::Error;

use meshguard_axum::core::delivery::Outcome;
use meshguard_axum::{CallError, DeliveryError};
use tonic::Status;

/// An error as an application met it.
#[derive(Clone, Debug)]
pub(super) struct Sign {
    /// Its type's own short name.
    pub(super) name: String,
    /// In words.
    pub(super) detail: String,
    /// What meshguard says became of the request.
    pub(super) outcome: Option<Outcome>,
}

impl Sign {
    /// The application itself gave up waiting.
    pub(super) fn patience() -> Self {
        let detail = "no whole answer within the application's patience".to_owned();
        Self { name: "timeout".to_owned(), detail, outcome: None }
    }

    /// Finds meshguard's typed error in a chain of causes.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(cause) = next {
            if let Some(call) = cause.downcast_ref::<CallError>() {
                return Self::of_call(call);
            }
            if let Some(delivery) = cause.downcast_ref::<DeliveryError>() {
                return Self::of_delivery(delivery);
            }
            next = cause.source();
        }
        Self { name: "transport".to_owned(), detail: error.to_string(), outcome: None }
    }

    pub(super) fn of_status(status: &Status) -> Self {
        match meshguard_tonic::cause(status) {
            Some(meshguard_tonic::Cause::Call(call)) => Self::of_call(call),
            Some(meshguard_tonic::Cause::Delivery(delivery)) => Self::of_delivery(delivery),
            _ => {
                let name = format!("{:?}", status.code()).to_lowercase();
                Self { name, detail: status.message().to_owned(), outcome: None }
            }
        }
    }

    fn of_call(call: &CallError) -> Self {
        let name = call.kind().as_str().to_owned();
        Self { name, detail: call.to_string(), outcome: Some(call.outcome()) }
    }

    fn of_delivery(delivery: &DeliveryError) -> Self {
        let name = delivery.kind().as_str().to_owned();
        Self { name, detail: delivery.to_string(), outcome: None }
    }
}
