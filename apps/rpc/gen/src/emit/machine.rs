//! The serving side for exactly-once calls: a trait whose methods decide an effect, which is logged with the reply, and
//! what makes a state machine of it.

use super::Emitter;
use super::program::{CallOf, Service};
use super::server::split;
use super::text::Call;

impl Emitter<'_> {
    pub(super) fn machine(&mut self, service: &Service<'_>) {
        let name = self.type_scope.take(format!("{}State", service.base));
        self.state_trait(service, &name);
        self.machine_struct(service, &name);
    }

    fn state_trait(&mut self, service: &Service<'_>, name: &str) {
        let (rpc, xdr) = (self.rpc(), self.xdr.clone());
        self.out.gap();
        self.out.docs(&[
            vec![format!(
                "Version {} of `{}` as a state, for calls that are executed exactly once.",
                service.version_number, service.program
            )],
            vec![
                "A method decides what its call changes, without changing it: that effect and the result go into"
                    .to_owned(),
                "one record of a log, and `apply` does it. No effect means that nothing changes.".to_owned(),
            ],
        ]);
        self.out.open(format!("pub trait {name}: Send + 'static {{"));
        self.out.doc("What a call changes.");
        self.out.line(format!("type Effect: {xdr}::Encode + {xdr}::Decode;"));
        for call in service.calls.iter().filter(|call| !call.is_null()) {
            self.out.gap();
            self.document_method(call);
            let (parameters, result) = self.method_types("context", call);
            let result = format!(" -> Result<({result}, Option<Self::Effect>), {rpc}::Refusal>;");
            self.out.signature(&format!("fn {}", call.method), &parameters, &result);
        }
        self.out.gap();
        self.out.doc("Does what a call decided: on the same state the same.");
        self.out.line("fn apply(&mut self, effect: Self::Effect);");
        self.out.gap();
        self.out.doc("The state as bytes, for a checkpoint.");
        self.out.line(format!("fn snapshot(&self) -> {rpc}::Bytes;"));
        self.out.gap();
        self.out.doc("Takes over the state of a checkpoint; that of an empty log has no bytes.");
        self.out.line(format!("fn restore(&mut self, snapshot: &[u8]) -> Result<(), {xdr}::Error>;"));
        self.out.close("}");
    }

    fn machine_struct(&mut self, service: &Service<'_>, name: &str) {
        let (rpc, xdr, module) = (self.rpc(), self.xdr.clone(), &service.module);
        let machine = self.type_scope.take(format!("{}Machine", service.base));
        self.out.gap();
        self.out.doc(format!("Makes a machine for `{rpc}::ExactlyOnce` of what implements [`{name}`]."));
        self.out.line("#[derive(Clone, Copy, Debug, Default)]");
        self.out.line(format!("pub struct {machine}<T>(pub T);"));

        self.out.gap();
        self.out.open(format!("impl<T: {name}> {rpc}::StateMachine for {machine}<T> {{"));
        self.numbers_of(module);
        let any = !service.calls.is_empty();
        let uses = |name: &str| if any { name.to_owned() } else { format!("_{name}") };
        let parameters = [
            "&self".to_owned(),
            format!("{}: &{rpc}::CallContext", uses("context")),
            format!("{}: u32", uses("procedure")),
            format!("{}: &{rpc}::Bytes", uses("arguments")),
        ];
        let rest = format!(" -> Result<{rpc}::Executed, {rpc}::Refusal> {{");
        self.out.signature("fn execute", &parameters, &rest);
        if any {
            self.out.open("match procedure {");
            for call in &service.calls {
                self.decision(module, call);
            }
            self.out.line(format!("_ => Err({rpc}::Refusal::ProcedureUnavailable),"));
            self.out.close("}");
        } else {
            self.out.line(format!("Err({rpc}::Refusal::ProcedureUnavailable)"));
        }
        self.out.close("}");
        self.out.gap();
        self.out.open(format!("fn apply(&mut self, effects: &[u8]) -> Result<(), {xdr}::Error> {{"));
        self.out.open(format!("if let Some(effect) = {rpc}::Executed::effect(effects)? {{"));
        self.out.line("self.0.apply(effect);");
        self.out.close("}");
        self.out.line("Ok(())");
        self.out.close("}");
        self.out.gap();
        self.out.open(format!("fn snapshot(&self) -> {rpc}::Bytes {{"));
        self.out.line("self.0.snapshot()");
        self.out.close("}");
        self.out.gap();
        self.out.open(format!("fn restore(&mut self, snapshot: &[u8]) -> Result<(), {xdr}::Error> {{"));
        self.out.line("self.0.restore(snapshot)");
        self.out.close("}");
        self.out.close("}");
    }

    /// The arm that decodes arguments, decides, and codes the result with the effect.
    fn decision(&mut self, module: &str, call: &CallOf<'_>) {
        let rpc = self.rpc();
        self.out.open(format!("{module}::{} => {{", call.constant));
        let handed = self.decoded(call, "arguments");
        if call.is_null() {
            self.out.line(format!("{rpc}::Executed::new(context, &(), None::<&T::Effect>)"));
        } else {
            let arguments = split(&format!("&self.0, context{handed}"));
            let decide = Call { function: format!("T::{}", call.method), arguments };
            self.out.call("let decided = ", &decide, "?;");
            let result = if call.result.is_some() { "result" } else { "()" };
            self.out.line(format!("let ({result}, effect) = decided;"));
            let coded = format!("&{}", call.coded_result());
            let arguments = ["context".to_owned(), coded, "effect.as_ref()".to_owned()];
            self.out.call("", &Call::new(format!("{rpc}::Executed::new"), arguments), "");
        }
        self.out.close("}");
    }
}
