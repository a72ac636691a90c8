//! One request and its answer on their way through the hop, and what befalls them.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};

use super::Shared;
use super::body::{Failure, Held, Source};
use super::fault::{Cut, Fault, Forged};
use super::log::Ticket;
use super::mangle::Mangler;
use super::pump::{close_delimited, pump, send_body};
use super::queue::{Due, Seat, Swapped};
use super::reply::Reply;
use super::sink::Gone;
use super::upstream::{Begun, Pending, Upstream};

/// A request that came, and the ways on and back.
pub(super) struct Exchange {
    pub(super) head: Request<()>,
    pub(super) body: Source,
    pub(super) reply: Reply,
    pub(super) upstream: Arc<Upstream>,
}

/// Sees one exchange through.
pub(super) async fn run(exchange: Exchange, shared: Arc<Shared>) {
    match shared.queue.take(&exchange.head, &shared.log) {
        None => drop(exchange.forward(Edit::default()).await),
        Some(due) => exchange.suffer(due).await,
    }
}

/// What to change on the way.
#[derive(Default)]
struct Edit {
    request: Mangler,
    response: Mangler,
    answer: OnAnswer,
}

#[derive(Default)]
enum OnAnswer {
    #[default]
    Pass,
    Header(Ticket),
    Swap(Seat, Ticket),
    Forge(Forged, Ticket),
}

impl Exchange {
    async fn suffer(mut self, due: Due) {
        let Due { ticket, seat } = due;
        let edit = match (ticket.fault().clone(), seat) {
            (Fault::DropRequest, _) => return self.swallow(ticket).await,
            (Fault::ReplayRequest, _) => return self.replay(ticket).await,
            (Fault::AnswerItself(forged), _) => return self.answer_itself(forged, ticket).await,
            (Fault::SwapRequestBodies, Some(seat)) => return self.swap_bodies(seat, ticket).await,
            (Fault::SwapAnswers, Some(seat)) => Edit::on_answer(OnAnswer::Swap(seat, ticket)),
            (Fault::ForwardThenAnswer(forged), _) => {
                Edit::on_answer(OnAnswer::Forge(forged, ticket))
            }
            (
                Fault::AddRequestHeader { .. }
                | Fault::StripRequestHeader { .. }
                | Fault::SplitRequestHeader { .. }
                | Fault::JoinRequestHeader { .. },
                _,
            ) => {
                edit_headers(self.head.headers_mut(), ticket);
                Edit::default()
            }
            (
                Fault::AddResponseHeader { .. }
                | Fault::StripResponseHeader { .. }
                | Fault::SplitResponseHeader { .. },
                _,
            ) => Edit::on_answer(OnAnswer::Header(ticket)),
            _ => Edit::in_body(ticket),
        };
        self.forward(edit).await;
    }

    /// Forwards request and answer; gives the request's mangler back.
    async fn forward(self, edit: Edit) -> Mangler {
        let Self { mut head, body, reply, upstream } = self;
        let Edit { mut request, response, answer } = edit;
        request.fix_head(head.headers_mut());
        let end = body.is_end() && request.will_cut().is_none();
        match upstream.open(head, end).await {
            Err(failure) => reply.fail(failure),
            Ok((sink, pending)) => {
                let send = send_body(body, sink, &mut request, end);
                tokio::join!(send, receive(pending, reply, response, answer));
            }
        }
        request
    }

    async fn swallow(mut self, ticket: Ticket) {
        ticket.apply("swallowed");
        tokio::join!(self.body.drain(), self.reply.gone());
    }

    async fn answer_itself(self, forged: Forged, ticket: Ticket) {
        ticket.apply(format!("answered {}", forged.status));
        let (head, body) = forged.into_parts();
        tokio::join!(self.body.drain(), deliver(head, body, self.reply, Mangler::default()));
    }

    async fn replay(self, ticket: Ticket) {
        let (head, apart) = (self.head.clone(), self.upstream.apart());
        let edit = Edit { request: Mangler::copying(), ..Edit::default() };
        let Some(copy) = self.forward(edit).await.into_copy() else { return };
        match send_copy(&apart, head, copy).await {
            Ok(status) => ticket.apply(format!("the copy was answered {status}")),
            Err(failure) => ticket.apply(format!("the copy got no answer: {failure:?}")),
        }
    }

    async fn swap_bodies(mut self, seat: Seat, ticket: Ticket) {
        let mine = match self.body.collect().await {
            Ok(held) => held,
            Err(failure) => return self.reply.fail(failure.unwrap_or(Failure::Broken)),
        };
        let swapped = Swapped { head: None, body: mine.clone() };
        let body = match swap(seat, swapped, &mut self.reply).await {
            Err(Gone) => return,
            Ok(None) => mine,
            Ok(Some(theirs)) => {
                ticket.apply(format!("{} bytes for {}", theirs.body.len(), mine.len()));
                theirs.body
            }
        };
        if let Some(length) = self.head.headers_mut().get_mut(header::CONTENT_LENGTH) {
            *length = HeaderValue::from(body.len());
        }
        Self { body: Source::Held(body), ..self }.forward(Edit::default()).await;
    }
}

impl Edit {
    fn on_answer(answer: OnAnswer) -> Self {
        Self { answer, ..Self::default() }
    }

    /// A ticket for anything but a body's fault is let go, and so recorded as a miss.
    fn in_body(ticket: Ticket) -> Self {
        let (request, response) = Mangler::pair(ticket).unwrap_or_default();
        Self { request, response, ..Self::default() }
    }
}

impl Forged {
    fn into_parts(self) -> (Response<()>, Source) {
        let mut head = Response::new(());
        *head.status_mut() = self.status;
        *head.headers_mut() = self.headers;
        (head, Source::Held(Held::from(self.body)))
    }
}

/// Awaits the answer and passes it on.
async fn receive(mut pending: Pending, mut reply: Reply, mangler: Mangler, on: OnAnswer) {
    let (mut head, body) = loop {
        let begun = tokio::select! {
            biased;
            () = reply.gone() => return,
            begun = pending.next() => begun,
        };
        match begun {
            Err(failure) => return reply.fail(failure),
            Ok(Begun::Informational(head)) => reply.informational(head),
            Ok(Begun::Final(head, body)) => break (head, body),
        }
    };
    let (head, body) = match on {
        OnAnswer::Pass => (head, body),
        OnAnswer::Header(ticket) => {
            edit_headers(head.headers_mut(), ticket);
            (head, body)
        }
        OnAnswer::Forge(forged, ticket) => {
            body.drain().await;
            ticket.apply(format!("answered {} in place of {}", forged.status, head.status()));
            forged.into_parts()
        }
        OnAnswer::Swap(seat, ticket) => {
            let Ok(held) = body.collect().await else { return reply.fail(Failure::Broken) };
            match swap_answers(seat, (head, held), &mut reply, ticket).await {
                Ok((head, held)) => (head, Source::Held(held)),
                Err(Gone) => return,
            }
        }
    };
    deliver(head, body, reply, mangler).await;
}

/// Passes an answer on.
async fn deliver(mut head: Response<()>, body: Source, reply: Reply, mut mangler: Mangler) {
    mangler.fix_head(head.headers_mut());
    if let (Some(Cut::CloseDelimited), Some(control)) = (mangler.will_cut(), reply.raw()) {
        let (raw, rest) = close_delimited(&head, body, &mut mangler).await;
        control.raw(raw);
        let mut reply = reply; // dropped sooner, it would end the connection on its own
        tokio::join!(rest.drain(), reply.gone());
        return;
    }
    let end = body.is_end() && mangler.will_cut().is_none();
    let grpc = is_grpc(head.headers());
    let Ok(mut sink) = reply.send(head, end) else { return };
    if !end && let Some(rest) = pump(body, &mut sink, &mut mangler, grpc).await {
        rest.drain().await;
    }
}

/// Gives to the other seat and takes from it; `None` where the other exchange failed.
async fn swap(seat: Seat, mine: Swapped, reply: &mut Reply) -> Result<Option<Swapped>, Gone> {
    let _ = seat.give.send(mine); // an error: the other failed, as the take will tell
    tokio::select! {
        biased;
        () = reply.gone() => Err(Gone),
        theirs = seat.take => Ok(theirs.ok()),
    }
}

async fn swap_answers(
    seat: Seat,
    (head, body): (Response<()>, Held),
    reply: &mut Reply,
    ticket: Ticket,
) -> Result<(Response<()>, Held), Gone> {
    let mine = Swapped { head: Some(head.clone()), body: body.clone() };
    match swap(seat, mine, reply).await? {
        Some(Swapped { head: Some(theirs), body }) => {
            ticket.apply(format!("{} for {}", theirs.status(), head.status()));
            Ok((theirs, body))
        }
        _ => Ok((head, body)),
    }
}

/// Sends a request apart from any caller, and discards the answer but for its status.
async fn send_copy(
    upstream: &Upstream,
    head: Request<()>,
    body: Held,
) -> Result<StatusCode, Failure> {
    let body = Source::Held(body);
    let end = body.is_end();
    let (sink, mut pending) = upstream.open(head, end).await?;
    let mut mangler = Mangler::default();
    let send = send_body(body, sink, &mut mangler, end);
    let receive = async {
        loop {
            if let Begun::Final(head, body) = pending.next().await? {
                body.drain().await;
                return Ok(head.status());
            }
        }
    };
    tokio::join!(send, receive).1
}

/// Adds, strips, splits or joins as the ticket says. A field that is not there to be stripped,
/// split or joined makes a miss.
fn edit_headers(headers: &mut HeaderMap, ticket: Ticket) {
    match ticket.fault().clone() {
        Fault::AddRequestHeader { name, value } | Fault::AddResponseHeader { name, value } => {
            headers.append(&name, value);
            ticket.apply(format!("added {name}"));
        }
        Fault::StripRequestHeader { name } | Fault::StripResponseHeader { name }
            if headers.remove(&name).is_some() =>
        {
            ticket.apply(format!("stripped {name}"));
        }
        Fault::SplitRequestHeader { name } | Fault::SplitResponseHeader { name } => {
            let lines = split(headers, &name);
            if lines > 1 {
                ticket.apply(format!("split {name} into {lines}"));
            }
        }
        Fault::JoinRequestHeader { name } => {
            let lines: Vec<_> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect();
            if let (true, Ok(joined)) =
                (lines.len() > 1, HeaderValue::from_bytes(&lines.join(&b", "[..])))
            {
                headers.insert(&name, joined);
                ticket.apply(format!("joined {name}"));
            }
        }
        _ => {}
    }
}

/// How many lines there are then.
fn split(headers: &mut HeaderMap, name: &HeaderName) -> usize {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let parts = values.flat_map(|value| value.split(", "));
    let parts: Vec<_> = parts.filter_map(|part| part.parse::<HeaderValue>().ok()).collect();
    headers.remove(name);
    let lines = parts.len();
    for part in parts {
        headers.append(name, part);
    }
    lines
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let grpc = |v: &HeaderValue| meshguard_core::delivery::grpc::is_grpc(v.as_bytes());
    headers.get(header::CONTENT_TYPE).is_some_and(grpc)
}
