//! Interoperability cases of gRPC, over this mesh and over stock tonic.

mod cases;
mod server;
mod ways;

/// The service of `proto/interop.proto`; a test keeps it current.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::too_many_lines)]
mod proto {
    include!("../../src/gen/interop.v1.rs");
}

macro_rules! over_every_way {
    ($($case:ident)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                ways::each(cases::$case).await;
            }
        )*
    };
}

over_every_way! {
    an_empty_message_goes_both_ways
    a_large_message_goes_both_ways
    a_hundred_large_messages_go_both_ways_at_once
    a_callers_stream_arrives_whole
    a_callees_stream_arrives_whole
    each_message_of_a_ping_pong_is_answered_before_the_next_one
    a_stream_without_a_message_ends_well
    a_status_keeps_its_code_and_message
    a_status_keeps_what_is_special_in_its_message
    a_status_is_heard_while_its_request_is_still_open
    a_method_that_is_not_there_is_unimplemented
    a_service_that_is_not_there_is_unimplemented
    metadata_of_ones_own_goes_both_ways
    a_call_cancelled_after_it_began_is_over_for_its_callee
    a_call_cancelled_after_its_first_answer_is_over_for_its_callee
    a_sleeping_callee_is_waited_for_until_the_deadline_only
    a_deadline_ends_a_stream_whose_answer_has_begun
}
