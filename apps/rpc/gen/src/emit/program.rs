//! Programs: their numbers, and what client and server have in common.

use super::Emitter;
use crate::ast::*;
use crate::names::{Scope, camel, screaming, snake};
use crate::resolve::Type;

/// One version, with Rust's names for all that it has.
pub(super) struct Service<'p> {
    pub(super) program: &'p str,
    pub(super) version: &'p Version,
    pub(super) number: i128,
    pub(super) version_number: i128,
    /// The module that has its numbers.
    pub(super) module: String,
    /// What names of its types begin with.
    pub(super) base: String,
    pub(super) calls: Vec<CallOf<'p>>,
}

/// One procedure, with Rust's names for all that it has.
pub(super) struct CallOf<'p> {
    pub(super) procedure: &'p Procedure,
    pub(super) number: i128,
    /// The constant of its number.
    pub(super) constant: String,
    pub(super) method: String,
    pub(super) arguments: Vec<(String, Type)>,
    pub(super) result: Option<Type>,
    /// The struct of its arguments on the server's side, where they aren't coded by themselves.
    pub(super) arguments_type: Option<String>,
    /// The struct around its result, where that isn't coded by itself.
    pub(super) result_type: Option<String>,
}

impl CallOf<'_> {
    /// Whether it is the procedure that does nothing, and that everybody has (RFC 5531 section 12.1).
    pub(super) fn is_null(&self) -> bool {
        self.number == 0 && self.arguments.is_empty() && self.result.is_none()
    }

    /// The result as it is coded; nothing where there is none.
    pub(super) fn coded_result(&self) -> String {
        match (&self.result, &self.result_type) {
            (None, _) => "()".to_owned(),
            (Some(_), None) => "result".to_owned(),
            (Some(_), Some(name)) => format!("{name}(result)"),
        }
    }

    pub(super) fn is_idempotent(&self) -> bool {
        self.procedure.idempotent || self.is_null()
    }
}

impl Emitter<'_> {
    pub(super) fn program(&mut self, definition: &Definition, program: &Program) {
        for (index, version) in program.versions.iter().enumerate() {
            if index > 0 {
                self.out.gap();
            }
            let service = self.service(&definition.name.text, program, version);
            let docs: Vec<String> = definition.docs.iter().chain(&version.docs).cloned().collect();
            self.numbers(&service, &docs);
            if self.options.client {
                self.client(&service);
            }
            if self.options.server {
                self.server(&service);
                if self.options.exactly_once {
                    self.machine(&service);
                }
            }
            self.codings(&service);
        }
    }

    fn service<'p>(&mut self, name: &'p str, program: &Program, version: &'p Version) -> Service<'p> {
        // Versions of several programs may have the same name.
        let own = snake(&version.name.text);
        let module = self.type_scope.take(own.clone());
        let base = if module == own {
            camel(&version.name.text)
        } else {
            format!("{}{}", camel(name), camel(&version.name.text))
        };
        let with_stubs = self.options.client || self.options.server;
        let mut constants = Scope::with(["PROGRAM", "VERSION", "PROCEDURES"]);
        let mut methods = Scope::with(["new", "client", "server"]);
        let mut calls = Vec::new();
        for procedure in &version.procedures {
            let arguments = self.arguments(procedure);
            let result = procedure.result.as_ref().map(|result| self.interface.type_of("", result));
            let own_base = camel(&procedure.name.text);
            let needs_struct = match arguments.as_slice() {
                [] => false,
                [(_, only)] => !self.is_direct(only),
                _ => true,
            };
            let arguments_type = (needs_struct && self.options.server)
                .then(|| self.type_scope.take(format!("{own_base}Arguments")));
            let result_type = result
                .as_ref()
                .filter(|result| with_stubs && !self.is_direct(result))
                .map(|_| self.type_scope.take(format!("{own_base}Result")));
            calls.push(CallOf {
                procedure,
                number: self.interface.number(&procedure.number),
                constant: constants.take(screaming(&procedure.name.text)),
                method: methods.take(snake(&procedure.name.text)),
                arguments,
                result,
                arguments_type,
                result_type,
            });
        }
        let number = self.interface.number(&program.number);
        let version_number = self.interface.number(&version.number);
        Service { program: name, version, number, version_number, module, base, calls }
    }

    fn arguments(&self, procedure: &Procedure) -> Vec<(String, Type)> {
        let mut scope = Scope::with(["self", "context", "arguments", "results", "to", "from"]);
        let named = procedure.arguments.iter().map(|argument| {
            let name = match (&argument.base, argument.name.text.is_empty()) {
                (_, false) => snake(&argument.name.text),
                (Base::Named(name), true) => snake(&name.text),
                (Base::String, true) => "text".to_owned(),
                _ => "argument".to_owned(),
            };
            (scope.take(name), self.interface.type_of("", argument))
        });
        named.collect()
    }

    /// The module of a version's numbers.
    fn numbers(&mut self, service: &Service<'_>, docs: &[String]) {
        let spelled = format!("program {}, version {}", service.program, service.version.name.text);
        self.out.gap();
        self.document(&spelled, docs);
        self.out.open(format!("pub mod {} {{", service.module));
        self.out.doc("The program's number.");
        self.out.line(format!("pub const PROGRAM: u32 = {};", service.number));
        self.out.doc("The version's number.");
        self.out.line(format!("pub const VERSION: u32 = {};", service.version_number));
        for call in &service.calls {
            self.document(&call.procedure.name.text, &call.procedure.docs);
            self.out.line(format!("pub const {}: u32 = {};", call.constant, call.number));
        }
        if self.options.client || self.options.server {
            self.table(service);
        }
        self.out.close("}");
    }

    fn table(&mut self, service: &Service<'_>) {
        let rpc = self.rpc();
        self.out.doc("All procedures.");
        let kind = format!("pub const PROCEDURES: [{rpc}::Procedure; {}] =", service.calls.len());
        if service.calls.is_empty() {
            return self.out.line(format!("{kind} [];"));
        }
        // rustfmt sets a lone element beside its bracket.
        let lone = service.calls.len() == 1;
        if !lone {
            self.out.open(format!("{kind} ["));
        }
        for call in &service.calls {
            let before = if lone { format!("{kind} [") } else { String::new() };
            self.out.open(format!("{before}{rpc}::Procedure {{"));
            self.out.line(format!("number: {},", call.constant));
            self.out.line(format!("name: {:?},", &*call.procedure.name.text));
            self.out.line(format!("idempotent: {},", call.is_idempotent()));
            self.out.close(if lone { "}];" } else { "}," });
        }
        if !lone {
            self.out.close("];");
        }
    }

    /// The private structs that code arguments and results whose types alone don't say how.
    fn codings(&mut self, service: &Service<'_>) {
        for call in &service.calls {
            if let Some(name) = &call.arguments_type {
                self.out.gap();
                self.out.line(format!("/// The arguments of `{}`.", call.procedure.name.text));
                self.out.open(format!("struct {name} {{"));
                for (argument, found) in &call.arguments {
                    let found = self.rust(found);
                    self.out.line(format!("{argument}: {found},"));
                }
                self.out.close("}");
                self.decode_fields(name, &call.arguments);
            }
            if let (Some(name), Some(result)) = (&call.result_type, &call.result) {
                self.out.gap();
                self.out.line(format!("/// The result of `{}`.", call.procedure.name.text));
                let rust = self.rust(result);
                self.out.line(format!("struct {name}({rust});"));
                if self.options.server {
                    self.encode_fields(name, &[("0".to_owned(), result.clone())]);
                }
                if self.options.client {
                    self.decode_head(name);
                    let take = self.take(result);
                    self.out.call(
                        &format!("let result = {}", take.before),
                        &take.call,
                        &format!("{};", take.after),
                    );
                    self.out.line("Ok(Self(result))");
                    self.close_impl();
                }
            }
        }
    }

    pub(super) fn rpc(&self) -> String {
        self.options.rpc_path.clone()
    }

    /// Documentation of a procedure's method.
    pub(super) fn document_method(&mut self, call: &CallOf<'_>) {
        let mut docs = call.procedure.docs.clone();
        if call.is_idempotent() {
            docs.push("Idempotent: to execute it twice does what executing it once does.".to_owned());
        }
        self.document(&format!("{} = {}", call.procedure.name.text, call.number), &docs);
    }
}
