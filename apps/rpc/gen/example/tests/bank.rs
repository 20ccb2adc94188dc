//! A client and a server that were made from one interface, over both transports, in the simulated world.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tapstack::net::Host;
use tapstack::sim::{Sim, Wire};
use tapstack_rpc::{
    Bytes, CallContext, CallError, Client, ClientConfig, ExactlyOnce, Identity, Refusal, Semantics, Server,
    ServerConfig, Transport, xdr,
};
use tapstack_rpcgen_example::bank::{
    Account, Accounts, Balance, BankV1, BankV1Client, BankV1Machine, BankV1Server, BankV1State,
    Refusal as BankRefusal, bank_v1, decode_accounts, encode_accounts,
};

/// The accounts, in cents.
#[derive(Default)]
struct Bank {
    accounts: Mutex<BTreeMap<String, u64>>,
}

impl BankV1 for Bank {
    async fn bank_balance(&self, _: &CallContext, owner: String) -> Result<Balance, Refusal> {
        Ok(match self.accounts.lock().unwrap().get(&owner) {
            Some(cents) => Balance::Case0(*cents),
            None => Balance::Default(404, BankRefusal::NoSuchAccount),
        })
    }

    async fn bank_pay(
        &self,
        _: &CallContext,
        from: String,
        to: String,
        cents: u64,
    ) -> Result<Balance, Refusal> {
        let mut accounts = self.accounts.lock().unwrap();
        let (Some(payer), Some(payee)) = (accounts.get(&from).copied(), accounts.get(&to).copied()) else {
            return Ok(Balance::Default(404, BankRefusal::NoSuchAccount));
        };
        let Some(left) = payer.checked_sub(cents) else {
            return Ok(Balance::Default(402, BankRefusal::NotEnough));
        };
        accounts.insert(from, left);
        accounts.insert(to, payee + cents);
        Ok(Balance::Case0(left))
    }

    async fn bank_list(&self, _: &CallContext) -> Result<Accounts, Refusal> {
        let accounts = self.accounts.lock().unwrap();
        Ok(accounts.iter().map(|(owner, cents)| Account { owner: owner.clone(), cents: *cents }).collect())
    }
}

/// The same accounts as a state: a payment is what two of them have after it.
#[derive(Default)]
struct Ledger(BTreeMap<String, u64>);

impl BankV1State for Ledger {
    type Effect = ((String, u64), (String, u64));

    fn bank_balance(
        &self,
        _: &CallContext,
        owner: String,
    ) -> Result<(Balance, Option<Self::Effect>), Refusal> {
        let none = || Balance::Default(404, BankRefusal::NoSuchAccount);
        Ok((self.0.get(&owner).copied().map_or_else(none, Balance::Case0), None))
    }

    fn bank_pay(
        &self,
        _: &CallContext,
        from: String,
        to: String,
        cents: u64,
    ) -> Result<(Balance, Option<Self::Effect>), Refusal> {
        let left = self.0.get(&from).copied().unwrap_or(1_000_000).checked_sub(cents);
        let Some(left) = left.filter(|_| from != to) else {
            return Ok((Balance::Default(402, BankRefusal::NotEnough), None));
        };
        let has = self.0.get(&to).copied().unwrap_or(0) + cents;
        Ok((Balance::Case0(left), Some(((from, left), (to, has)))))
    }

    fn bank_list(&self, _: &CallContext) -> Result<(Accounts, Option<Self::Effect>), Refusal> {
        Ok((self.accounts(), None))
    }

    fn apply(&mut self, (payer, payee): Self::Effect) {
        self.0.extend([payer, payee]);
    }

    fn snapshot(&self) -> Bytes {
        let accounts = self.accounts();
        xdr::to_bytes(&xdr::EncodeWith(|to: &mut xdr::Encoder| encode_accounts(&accounts, to)), 1 << 20)
            .unwrap()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), xdr::Error> {
        if !snapshot.is_empty() {
            let accounts = decode_accounts(&mut xdr::Decoder::new(snapshot))?;
            self.0 = accounts.into_iter().map(|account| (account.owner, account.cents)).collect();
        }
        Ok(())
    }
}

impl Ledger {
    fn accounts(&self) -> Accounts {
        self.0.iter().map(|(owner, cents)| Account { owner: owner.clone(), cents: *cents }).collect()
    }
}

fn serve(host: &Host) {
    let bank = Bank::default();
    bank.accounts.lock().unwrap().extend([("ann".to_owned(), 500), ("bob".to_owned(), 0)]);
    let server = Server::new(host, ServerConfig::default());
    server.add(Arc::new(BankV1Server(bank)), Semantics::AtMostOnce).unwrap();
    server.listen_udp(([0, 0, 0, 0], 2000).into()).unwrap();
    server.listen_tcp(([0, 0, 0, 0], 2000).into()).unwrap();
}

async fn use_it(host: &Host, transport: Transport) -> Result<(), CallError> {
    let peer = ([10, 0, 0, 2], 2000).into();
    let config = ClientConfig::default();
    let client = Client::new(host, transport, peer, bank_v1::PROGRAM, bank_v1::VERSION, config).unwrap();
    let bank = BankV1Client::new(client);
    bank.bank_null().await?;
    assert_eq!(bank.bank_balance("eve").await?, Balance::Default(404, BankRefusal::NoSuchAccount));
    let before = bank.bank_balance("ann").await?;
    let Balance::Case0(cents) = before else { panic!("{before:?}") };
    assert_eq!(bank.bank_pay("ann", "bob", 120).await?, Balance::Case0(cents - 120));
    assert_eq!(bank.bank_pay("bob", "ann", 9999).await?, Balance::Default(402, BankRefusal::NotEnough));
    let accounts = bank.bank_list().await?;
    assert_eq!(accounts.iter().map(|account| account.cents).sum::<u64>(), 500);
    assert_eq!(accounts.last().unwrap().owner, "bob");

    // A name over its bound is the caller's own mistake, and isn't sent.
    let long = bank.bank_balance(&"x".repeat(65)).await;
    assert!(matches!(long, Err(CallError::Arguments(tapstack_xdr::Error::TooLong { length: 65, max: 64 }))));
    // What the server can't read gets the standard's answer.
    let garbage = bank.client().call::<_, ()>(bank_v1::BANK_BALANCE, &"x".repeat(65)).await;
    assert!(matches!(garbage, Err(CallError::GarbageArguments)));
    let more = bank.client().call::<_, ()>(bank_v1::BANK_LIST, &7).await;
    assert!(matches!(more, Err(CallError::GarbageArguments)));
    let unknown = bank.client().call::<_, ()>(99, &()).await;
    assert!(matches!(unknown, Err(CallError::ProcedureUnavailable)));
    Ok(())
}

#[test]
fn a_client_and_a_server_of_one_interface_understand_each_other() {
    let mut net = Sim::new(7);
    let (a, b) = (net.machine("client", "10.0.0.1/24"), net.machine("server", "10.0.0.2/24"));
    net.wire(&a, &b, Wire::default());
    net.run(async {
        serve(&b);
        for transport in [Transport::Udp, Transport::Tcp] {
            use_it(&a, transport).await.unwrap();
        }
    });
}

#[test]
fn payments_are_made_exactly_once_while_the_bank_crashes() {
    let mut net = Sim::new(9);
    let (a, b) = (net.machine("client", "10.0.0.1/24"), net.machine("bank", "10.0.0.2/24"));
    net.wire(&a, &b, Wire { loss: 0.1, ..Wire::default() });
    let controls = net.controls();
    let open = |host: Host| async move {
        // Short enough for some checkpoints.
        let bank =
            ExactlyOnce::open_with(&host, "bank", BankV1Machine(Ledger::default()), 2_000).await.unwrap();
        let server = Server::new(&host, ServerConfig::default());
        server.add(Arc::new(bank), Semantics::ExactlyOnce).unwrap();
        server.listen_udp(([0, 0, 0, 0], 2000).into()).unwrap();
    };
    net.run(async {
        open(b.clone()).await;
        let identity = Identity { name: "payer".into(), incarnation: 1, uid: 0, gid: 0 };
        let config = ClientConfig {
            semantics: Semantics::ExactlyOnce,
            retransmit_after: std::time::Duration::from_millis(20),
            identity: Some(identity),
            ..ClientConfig::default()
        };
        let peer = ([10, 0, 0, 2], 2000).into();
        let client =
            Client::new(&a, Transport::Udp, peer, bank_v1::PROGRAM, bank_v1::VERSION, config).unwrap();
        let bank = BankV1Client::new(client);
        for round in 1..=200u64 {
            let paying = a.spawn({
                let bank = bank.clone();
                async move { bank.bank_pay("ann", "bob", 7).await }
            });
            if round % 10 == 0 {
                a.sleep(std::time::Duration::from_micros(round * 13)).await;
                controls.crash(&b);
                a.sleep(std::time::Duration::from_millis(30)).await;
                controls.restart(&b);
                open(b.clone()).await;
            }
            assert_eq!(paying.await.unwrap().unwrap(), Balance::Case0(1_000_000 - 7 * round));
        }
        assert_eq!(bank.bank_balance("bob").await.unwrap(), Balance::Case0(1_400));
        assert_eq!(
            bank.bank_pay("bob", "bob", 1).await.unwrap(),
            Balance::Default(402, BankRefusal::NotEnough)
        );
        assert_eq!(bank.bank_list().await.unwrap().len(), 2);
        bank.bank_null().await.unwrap();
    });
}

#[test]
fn what_the_interface_says_of_procedures_is_in_the_table() {
    let told: Vec<(u32, &str, bool)> =
        bank_v1::PROCEDURES.iter().map(|p| (p.number, p.name, p.idempotent)).collect();
    let expected =
        [(0, "BANK_NULL", true), (1, "BANK_BALANCE", true), (2, "BANK_PAY", false), (3, "BANK_LIST", true)];
    assert_eq!(told, expected);
    assert_eq!((bank_v1::PROGRAM, bank_v1::VERSION), (0x2000_0042, 1));
}
