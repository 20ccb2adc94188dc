//! The calling side: a struct with a method for each procedure.

use super::Emitter;
use super::coding::At;
use super::program::{CallOf, Service};

/// Columns of a chain of calls that rustfmt leaves on one line.
const CHAIN_COLUMNS_MAX: usize = 59;

/// Columns of an argument's name, with which a call still is that short.
const ARGUMENT_COLUMNS_MAX: usize = 24;

impl Emitter<'_> {
    pub(super) fn client(&mut self, service: &Service<'_>) {
        let rpc = self.rpc();
        let name = self.type_scope.take(format!("{}Client", service.base));
        let doc = format!("Calls version {} of `{}`.", service.version_number, service.program);
        self.out.gap();
        self.out.doc(doc);
        self.out.line("#[derive(Clone)]");
        self.out.open(format!("pub struct {name} {{"));
        self.out.line(format!("client: {rpc}::Client,"));
        self.out.close("}");

        self.out.gap();
        self.out.open(format!("impl {name} {{"));
        let module = &service.module;
        self.out.doc(format!("Calls through `client`, whose program and version are those of [`{module}`]."));
        self.out.open(format!("pub fn new(client: {rpc}::Client) -> Self {{"));
        self.out.line("Self { client }");
        self.out.close("}");
        self.out.gap();
        self.out.doc("The client below.");
        self.out.open(format!("pub fn client(&self) -> &{rpc}::Client {{"));
        self.out.line("&self.client");
        self.out.close("}");
        for call in &service.calls {
            self.out.gap();
            self.client_method(service, call);
        }
        self.out.close("}");
    }

    fn client_method(&mut self, service: &Service<'_>, call: &CallOf<'_>) {
        let rpc = self.rpc();
        self.document_method(call);
        let mut parameters = vec!["&self".to_owned()];
        parameters
            .extend(call.arguments.iter().map(|(name, found)| format!("{name}: {}", self.borrowed(found))));
        let result = call.result.as_ref().map_or_else(|| "()".to_owned(), |found| self.rust(found));
        let rest = format!(" -> Result<{result}, {rpc}::CallError> {{");
        if parameters.len() > 7 {
            self.out.line("#[allow(clippy::too_many_arguments)]");
        }
        self.out.signature(&format!("pub async fn {}", call.method), &parameters, &rest);

        let arguments = match call.arguments.as_slice() {
            [] => "&()".to_owned(),
            [(name, found)] if self.is_direct(found) && name.len() < ARGUMENT_COLUMNS_MAX => {
                match self.borrowed(found) {
                    borrowed if borrowed.starts_with('&') => name.clone(),
                    _ => format!("&{name}"),
                }
            }
            several => {
                let (xdr, several) = (self.xdr.clone(), several.to_vec());
                self.out.open(format!("let arguments = {xdr}::EncodeWith(|to: &mut {xdr}::Encoder| {{"));
                for (name, found) in &several {
                    let call = self.put(found, At::Parameter(name));
                    self.out.call("", &call, "?;");
                }
                self.out.line("Ok(())");
                self.out.close("});");
                "&arguments".to_owned()
            }
        };
        let constant = format!("{}::{}", service.module, call.constant);
        let after = if call.result_type.is_some() { ".await?" } else { ".await" };
        let mut called = format!("self.client.call({constant}, {arguments}){after}");
        if called.len() > CHAIN_COLUMNS_MAX {
            self.out.binding("procedure", &constant);
            called = format!("self.client.call(procedure, {arguments}){after}");
        }
        match &call.result_type {
            None => self.out.line(called),
            Some(name) => {
                self.out.binding(&format!("result: {name}"), &called);
                self.out.line("Ok(result.0)");
            }
        }
        self.out.close("}");
    }
}
