//! The OpenAPI description: what the handlers say of themselves, and what is common to them.

use crate::{http, problem};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, InfoBuilder, LicenseBuilder, OpenApi, Ref, RefOr, ResponseBuilder,
    path::{Operation, PathItem},
    schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type},
};
use wire::{Code, api::Problem};

/// The whole description.
pub fn document() -> OpenApi {
    complete(http::routes().into_openapi())
}

/// Adds to the handlers' descriptions what is common to them: the problems, the second encoding, the title.
pub(crate) fn complete(mut api: OpenApi) -> OpenApi {
    let description = "White-City keeps a replicated board on which parties who know nobody run multi-party computations. Facts \
        of the board are answered from the newest board that the nodes have certified; with `proof=true` an answer carries the certificate and what leads from \
        the fact to it, so that nobody needs to believe the node. Byte strings are lowercase hex. With `Accept: application/octet-stream` most answers come as borsh instead. A request may name in the header `white-city-height` the greatest height that the client has seen \
        certified: who has not come so far waits up to half a second for it before answering. Whatever is refused comes with a problem \
        document (RFC 9457) whose `code` is stable.";
    api.info = InfoBuilder::new()
        .title("White-City node")
        .version("1")
        .description(Some(description))
        .license(Some(LicenseBuilder::new().name("Apache-2.0 OR MIT").identifier(Some("Apache-2.0 OR MIT")).build()))
        .build();
    for item in api.paths.paths.values_mut() {
        for operation in operations(item) {
            add_borsh(operation);
            add_problems(operation);
        }
    }
    let components = api.components.get_or_insert_default();
    let mut schemas = Vec::new();
    <Problem as utoipa::ToSchema>::schemas(&mut schemas);
    schemas.push((<Problem as utoipa::ToSchema>::name().into_owned(), <Problem as utoipa::PartialSchema>::schema()));
    for (name, schema) in schemas {
        components.schemas.entry(name).or_insert(schema);
    }
    without_links(api)
}

/// The types' documentation has links for rustdoc, which mean nothing here: [`crate::Name`] becomes `Name`.
fn without_links(api: OpenApi) -> OpenApi {
    let plain = |text: &str| text.replace("[`crate::", "`").replace("[`", "`").replace("`]", "`");
    let mut document = serde_json::to_value(&api).unwrap_or_default();
    let mut open: Vec<&mut Value> = vec![&mut document];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(text)) = fields.get_mut("description") {
                    *text = plain(text);
                }
                open.extend(fields.values_mut());
            }
            Value::Array(values) => open.extend(values),
            _ => {}
        }
    }
    serde_json::from_value(document).unwrap_or(api)
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [item.get.as_mut(), item.post.as_mut()].into_iter().flatten()
}

/// What the gateway and the board say of operations.
const SUBMISSION: &[Code] = &[
    Code::Malformed,
    Code::WrongShape,
    Code::UnsupportedMediaType,
    Code::RequestTooLarge,
    Code::RequestTimeout,
    Code::BadSignature,
    Code::WrongChain,
    Code::PayloadMismatch,
    Code::PayloadTooLarge,
    Code::UnknownSession,
    Code::NotAParty,
    Code::NotPermitted,
    Code::InvalidSpecification,
    Code::SessionExists,
    Code::QuotaExceeded,
    Code::WrongPhase,
    Code::Absent,
    Code::RoundOutOfRange,
    Code::RoundClosed,
    Code::AlreadyAcknowledged,
    Code::HeightOutOfRange,
    Code::WrongRecipients,
    Code::DuplicateDifferent,
    Code::WrongGeneration,
    Code::WrongStep,
    Code::BadDealing,
    Code::BadAccusation,
    Code::BadAnswer,
    Code::BadPartial,
    Code::TooEarly,
    Code::NotOpen,
    Code::NotRegistered,
    Code::AlreadyRegistered,
    Code::RegistrationClosed,
    Code::SolvingClosed,
    Code::NoChallenge,
    Code::BadStamp,
    Code::StampExpired,
    Code::RequestsFull,
    Code::ListFull,
    Code::BadChallenge,
    Code::ForeignSolution,
    Code::StolenSolution,
    Code::BadSolution,
    Code::WrongParent,
    Code::ThresholdTooSmall,
    Code::WeakWork,
    Code::BadBackup,
    Code::OutdatedBackup,
    Code::NoBackup,
    Code::NotStored,
    Code::NotReady,
    Code::ReadOnly,
    Code::Overloaded,
    Code::Unavailable,
    Code::NotDecided,
    Code::Internal,
];

/// The codes that a request may be refused with before or beside the rules of the board.
fn codes(operation_id: &str) -> &'static [Code] {
    match operation_id {
        "submit" => SUBMISSION,
        "receipt" => &[
            Code::Malformed,
            Code::UnknownOperation,
            Code::WrongPhase,
            Code::NotCertifiable,
            Code::NotReady,
            Code::Overloaded,
            Code::Unavailable,
            Code::Internal,
        ],
        "status" => &[Code::Overloaded, Code::Unavailable, Code::Internal],
        "network" | "keys" | "exchange_keys" => &[Code::Malformed, Code::NotReady, Code::Overloaded, Code::Internal],
        "certificate" => &[Code::Malformed, Code::UnknownHeight, Code::NotReady, Code::Overloaded, Code::Internal],
        "list_sessions" => &[Code::Malformed, Code::Overloaded, Code::Unavailable, Code::Internal],
        "registrants" | "solvers" => &[
            Code::Malformed,
            Code::UnknownSession,
            Code::NotOpen,
            Code::WrongPhase,
            Code::NotReady,
            Code::Overloaded,
            Code::Unavailable,
            Code::Internal,
        ],
        "evaluate" => &[
            Code::Malformed,
            Code::WrongShape,
            Code::BadSignature,
            Code::NoBackup,
            Code::NoShare,
            Code::BadBackup,
            Code::TooManyAttempts,
            Code::ReadOnly,
            Code::UnsupportedMediaType,
            Code::RequestTooLarge,
            Code::RequestTimeout,
            Code::NotReady,
            Code::Overloaded,
            Code::Unavailable,
            Code::Internal,
        ],
        "session" | "parties" | "phase" | "events" | "backup" => &[
            Code::Malformed,
            Code::UnknownSession,
            Code::NotReady,
            Code::Overloaded,
            Code::Unavailable,
            Code::Internal,
        ],
        "mailbox" => &[
            Code::Malformed,
            Code::UnknownSession,
            Code::NotFound,
            Code::WrongPhase,
            Code::NotReady,
            Code::Overloaded,
            Code::Unavailable,
            Code::Internal,
        ],
        _ => &[],
    }
}

fn add_problems(operation: &mut Operation) {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes(operation.operation_id.as_deref().unwrap_or_default()) {
        by_status.entry(problem::status(*code)).or_default().push(*code);
    }
    for (status, codes) in by_status {
        let meanings: Vec<String> = codes.iter().map(|code| format!("`{code}`: {}", code.meaning())).collect();
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
        let example = codes.first().map(|code| problem::Failure::from(*code).document());
        let example = example.and_then(|problem| serde_json::to_value(problem).ok());
        let mut response = ResponseBuilder::new()
            .description(meanings.join("\n\n"))
            .content("application/problem+json", content.example(example).build());
        if codes.iter().any(|code| problem::retries(*code)) {
            let seconds = ObjectBuilder::new().schema_type(Type::Integer).build();
            let header = HeaderBuilder::new().schema(Some(seconds)).description(Some("Seconds until another try."));
            response = response.header("Retry-After", header.build());
        }
        operation.responses.responses.insert(status.to_string(), RefOr::T(response.build()));
    }
}

fn add_borsh(operation: &mut Operation) {
    let bytes = || {
        let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
        let schema = ObjectBuilder::new().schema_type(Type::String).format(Some(format)).build();
        RefOr::T(ContentBuilder::new().schema(Some(schema)).build())
    };
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        body.content.insert(http::answer::BORSH.to_owned(), bytes());
    }
    for response in operation.responses.responses.values_mut() {
        let RefOr::T(response) = response else { continue };
        let is_ours = operation.tags.as_ref().is_some_and(|tags| tags.iter().all(|tag| tag != "operation"));
        if is_ours && response.content.contains_key(http::answer::JSON) {
            response.content.insert(http::answer::BORSH.to_owned(), bytes());
        }
    }
}
