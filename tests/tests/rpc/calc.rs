//! CALC by hand, as our side serves it.

use tapstack_rpc::xdr::{self, Decode, Decoder, Encode, Encoder, Error};
use tapstack_rpc::{Answer, BoxFuture, Bytes, CallContext, Procedure, Refusal, Service};

pub(crate) const PROGRAM: u32 = 0x2000_0099;
pub(crate) const VERSION: u32 = 1;
pub(crate) const ADD: u32 = 1;
pub(crate) const ECHO: u32 = 2;
pub(crate) const REVERSE: u32 = 3;

/// A linked list of ints.
#[derive(Debug, PartialEq)]
pub(crate) struct List(pub(crate) Vec<i32>);

impl Encode for List {
    fn encode(&self, to: &mut Encoder) -> Result<(), Error> {
        to.put_list(&self.0, |value, to| to.put_i32(*value))
    }
}

impl Decode for List {
    fn decode(from: &mut Decoder<'_>) -> Result<List, Error> {
        from.take_list(|from| from.take_i32()).map(List)
    }
}

/// The service; ADD is not marked as idempotent, so that its duplicates are replied to again.
pub(crate) struct Calc;

impl Service for Calc {
    fn program(&self) -> u32 {
        PROGRAM
    }
    fn version(&self) -> u32 {
        VERSION
    }
    fn procedures(&self) -> &[Procedure] {
        &[
            Procedure { number: ADD, name: "ADD", idempotent: false },
            Procedure { number: ECHO, name: "ECHO", idempotent: true },
            Procedure { number: REVERSE, name: "REVERSE", idempotent: true },
        ]
    }
    fn call<'a>(
        &'a self,
        context: &'a CallContext,
        procedure: u32,
        arguments: Bytes,
    ) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let max = context.result_bytes_max;
            match procedure {
                ADD => {
                    let (a, b): (i32, i32) = xdr::from_bytes(&arguments).map_err(Refusal::arguments)?;
                    xdr::to_bytes(&a.wrapping_add(b), max)
                }
                ECHO => {
                    let text: String = xdr::from_bytes(&arguments).map_err(Refusal::arguments)?;
                    xdr::to_bytes(&text, max)
                }
                _ => {
                    let List(mut list) = xdr::from_bytes(&arguments).map_err(Refusal::arguments)?;
                    list.reverse();
                    xdr::to_bytes(&List(list), max)
                }
            }
            .map_err(Refusal::results)
        })
    }
}
