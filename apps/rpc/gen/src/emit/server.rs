//! The serving side: a trait with a method for each procedure, and what makes a service of it.

use super::Emitter;
use super::program::{CallOf, Service};

impl Emitter<'_> {
    pub(super) fn server(&mut self, service: &Service<'_>) {
        let name = self.type_scope.take(service.base.clone());
        self.server_trait(service, &name);
        self.server_struct(service, &name);
    }

    fn server_trait(&mut self, service: &Service<'_>, name: &str) {
        self.out.gap();
        self.out.docs(&[
            vec![format!("Serves version {} of `{}`.", service.version_number, service.program)],
            vec![
                "Methods may be written as `async fn`. An error is what the client gets instead of results."
                    .to_owned(),
            ],
        ]);
        if service.calls.is_empty() {
            return self.out.line(format!("pub trait {name}: Send + Sync + 'static {{}}"));
        }
        self.out.open(format!("pub trait {name}: Send + Sync + 'static {{"));
        for call in &service.calls {
            self.out.gap();
            self.server_method(call);
        }
        self.out.close("}");
    }

    fn server_method(&mut self, call: &CallOf<'_>) {
        let rpc = self.rpc();
        self.document_method(call);
        let is_null = call.is_null();
        let context = if is_null { "_context" } else { "context" };
        let (parameters, result) = self.method_types(context, call);
        let future =
            format!(" -> impl std::future::Future<Output = Result<{result}, {rpc}::Refusal>> + Send");
        let name = format!("fn {}", call.method);
        if is_null {
            self.out.signature(&name, &parameters, &format!("{future} {{"));
            self.out.line("async { Ok(()) }");
            self.out.close("}");
        } else {
            self.out.signature(&name, &parameters, &format!("{future};"));
        }
    }

    /// What a method takes, and the type of its result; with the lint allowed that counts arguments.
    pub(super) fn method_types(&mut self, context: &str, call: &CallOf<'_>) -> (Vec<String>, String) {
        let mut parameters = vec!["&self".to_owned(), format!("{context}: &{}::CallContext", self.rpc())];
        parameters.extend(call.arguments.iter().map(|(name, found)| format!("{name}: {}", self.rust(found))));
        if parameters.len() > 7 {
            self.out.line("#[allow(clippy::too_many_arguments)]");
        }
        (parameters, call.result.as_ref().map_or_else(|| "()".to_owned(), |found| self.rust(found)))
    }

    fn server_struct(&mut self, service: &Service<'_>, name: &str) {
        let (rpc, module) = (self.rpc(), &service.module);
        let server = self.type_scope.take(format!("{}Server", service.base));
        self.out.gap();
        self.out.doc(format!("Makes a service of what implements [`{name}`]."));
        self.out.line("#[derive(Clone, Copy, Debug, Default)]");
        self.out.line(format!("pub struct {server}<T>(pub T);"));

        self.out.gap();
        self.out.open(format!("impl<T: {name}> {rpc}::Service for {server}<T> {{"));
        self.numbers_of(module);
        let uses = |used: bool, name: &str| if used { name.to_owned() } else { format!("_{name}") };
        let any = !service.calls.is_empty();
        let parameters = [
            "&'a self".to_owned(),
            format!("{}: &'a {rpc}::CallContext", uses(any, "context")),
            format!("{}: u32", uses(any, "procedure")),
            format!("{}: {rpc}::Bytes", uses(any, "arguments")),
        ];
        let rest = format!(" -> {rpc}::BoxFuture<'a, {rpc}::Answer> {{");
        self.out.signature("fn call<'a>", &parameters, &rest);
        if any {
            self.out.open("Box::pin(async move {");
            self.out.open("match procedure {");
            for call in &service.calls {
                self.dispatch(module, call);
            }
            self.out.line(format!("_ => Err({rpc}::Refusal::ProcedureUnavailable),"));
            self.out.close("}");
            self.out.close("})");
        } else {
            self.out.line(format!("Box::pin(async {{ Err({rpc}::Refusal::ProcedureUnavailable) }})"));
        }
        self.out.close("}");
        self.out.close("}");
    }

    /// The methods that say what is served.
    pub(super) fn numbers_of(&mut self, module: &str) {
        for (method, constant) in [("program", "PROGRAM"), ("version", "VERSION")] {
            self.out.open(format!("fn {method}(&self) -> u32 {{"));
            self.out.line(format!("{module}::{constant}"));
            self.out.close("}");
            self.out.gap();
        }
        let rpc = self.rpc();
        self.out.open(format!("fn procedures(&self) -> &[{rpc}::Procedure] {{"));
        self.out.line(format!("&{module}::PROCEDURES"));
        self.out.close("}");
        self.out.gap();
    }

    /// The arm that decodes arguments, executes, and encodes the result.
    fn dispatch(&mut self, module: &str, call: &CallOf<'_>) {
        self.out.open(format!("{module}::{} => {{", call.constant));
        let handed = self.decoded(call, "&arguments");
        let before = if call.result.is_some() { "let result = " } else { "" };
        self.served(before, &call.method, &format!("context{handed}"));
        self.out.line(format!("context.encode(&{})", call.coded_result()));
        self.out.close("}");
    }

    /// The line that decodes arguments. Returns how they are handed to the method, behind its context.
    pub(super) fn decoded(&mut self, call: &CallOf<'_>, bytes: &str) -> String {
        let kind = match (&call.arguments_type, call.arguments.as_slice()) {
            (Some(name), _) => name.clone(),
            (None, [(_, only), ..]) => self.rust(only),
            (None, []) => "()".to_owned(),
        };
        let binding = if call.arguments.is_empty() { "()".to_owned() } else { format!("arguments: {kind}") };
        self.out.binding(&binding, &format!("context.decode({bytes})?"));
        match (&call.arguments_type, call.arguments.as_slice()) {
            (Some(_), arguments) => arguments.iter().map(|(name, _)| format!(", arguments.{name}")).collect(),
            (None, []) => String::new(),
            (None, _) => ", arguments".to_owned(),
        }
    }

    /// `self.0.method(…).await?;`, on several lines when it is longer than rustfmt's 60 columns.
    fn served(&mut self, before: &str, method: &str, arguments: &str) {
        let one = format!("self.0.{method}({arguments}).await?");
        let indent = 20;
        if one.len() <= 60 && indent + before.len() + one.len() < 100 {
            return self.out.line(format!("{before}{one};"));
        }
        self.out.open(format!("{before}self"));
        self.out.line(".0");
        self.out.call(
            "",
            &super::text::Call { function: format!(".{method}"), arguments: split(arguments) },
            "",
        );
        self.out.line(".await?;");
        self.out.close_without_line();
    }
}

/// Arguments one by one; none of them has a comma inside.
pub(super) fn split(arguments: &str) -> Vec<String> {
    arguments.split(", ").map(str::to_owned).collect()
}
