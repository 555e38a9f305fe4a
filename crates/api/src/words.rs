//! Schemas of the domain's closed vocabularies, so that the OpenAPI document lists every word.

use mb_core::attempt::Purpose;
use mb_core::failure::{BreakerClass, FailureClass, FailureKind, Signal};
use mb_core::queue::{Flow, Priority};
use mb_core::run::{RunOutcome, StopReason, Success, TriggerKind};
use mb_core::schedule::{CatchUp, Overlap};
use mb_core::scope::Scope;
use mb_core::task::QueueClass;
use mb_core::workflow::{ActionKind, StageKind};
use utoipa::openapi::schema::{Array, ArrayBuilder, Object, ObjectBuilder, Type};

macro_rules! closed {
    ($($function:ident = $vocabulary:ty;)*) => {$(
        pub(crate) fn $function() -> Object {
            words(<$vocabulary>::ALL.iter().map(|word| word.as_str()))
        }
    )*};
}

closed! {
    action_kind = ActionKind;
    breaker_class = BreakerClass;
    catch_up = CatchUp;
    failure_class = FailureClass;
    flow = Flow;
    priority = Priority;
    failure_kind = FailureKind;
    overlap = Overlap;
    purpose = Purpose;
    queue_class = QueueClass;
    run_outcome = RunOutcome;
    signal = Signal;
    stage = StageKind;
    stop_reason = StopReason;
    success = Success;
    trigger_kind = TriggerKind;
}

pub(crate) fn scopes() -> Array {
    ArrayBuilder::new().items(words(Scope::ALL.iter().map(|scope| scope.as_str()))).unique_items(true).build()
}

pub(crate) fn run_state() -> Object {
    words(["pending", "running", "succeeded", "failed", "canceled"])
}

pub(crate) fn step_state() -> Object {
    words(["pending", "running", "succeeded", "failed", "skipped", "canceled"])
}

pub(crate) fn task_state() -> Object {
    words(["queued", "running", "finished"])
}

pub(crate) fn fire_state() -> Object {
    words(["pending", "started", "skipped", "failed"])
}

pub(crate) fn verdict() -> Object {
    words(["accepted", "improved", "no_candidate", "refused", "rejected", "broken"])
}

fn words(all: impl IntoIterator<Item = &'static str>) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(all)).build()
}
