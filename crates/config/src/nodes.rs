//! Which nodes the pool works with, from `[node]` and the `[[backup_node]]`s.

use std::path::PathBuf;

use crate::error::ConfigError;
use crate::field::Field;
use crate::keys::BACKUP_NODE;
use crate::read::Reader;
use crate::source::TableFields;
use crate::value::{
    hold, network, node_address, node_socket, optional_text, path, template_provider, zmq_addresses,
};
use crate::{NodeAccess, NodeAuth, NodeConfig, Secret};

/// How many nodes a pool has, at most: each has threads and connections of its own, and nobody needs more.
const MAX_NODES: usize = 8;

/// One table that says how a node is reached.
#[derive(Clone, Copy)]
enum Table<'a> {
    /// `[node]`.
    Preferred,
    /// One of the `[[backup_node]]`s.
    Backup(&'a TableFields),
}

impl Reader<'_> {
    pub(crate) fn node(&mut self) -> Option<NodeConfig> {
        let network = self.read("node", "network", network);
        let hold = self.read("node", "hold_seconds", hold);
        let preferred = self.node_access(Table::Preferred);
        let backups = self.backups();
        Some(NodeConfig {
            network: network?,
            hold: hold?,
            preferred: preferred?,
            backups: backups?,
        })
    }

    fn backups(&mut self) -> Option<Vec<NodeAccess>> {
        let tables = core::mem::take(&mut self.fields.backup_nodes);
        if let Some(surplus) = tables.get(MAX_NODES - 1) {
            let expected = format!("a pool has {MAX_NODES} nodes at most");
            self.errors.push(surplus.lacks("url", &expected));
            return None;
        }
        // All are read before one with a mistake ends it, so that all mistakes are told.
        let nodes: Vec<_> = tables.iter().map(|table| self.backup(table)).collect();
        nodes.into_iter().collect()
    }

    /// A backup that says neither where it is nor how to log in would be the node that is found by itself,
    /// which is the preferred one.
    fn backup(&mut self, table: &TableFields) -> Option<NodeAccess> {
        let node = self.node_access(Table::Backup(table))?;
        if !node.has_rpc() && node.socket.is_none() && node.template_provider.is_none() {
            let expected = "write where this node is, such as \"192.168.1.5:8332\"";
            self.errors.push(table.lacks("url", expected));
            return None;
        }
        Some(node)
    }

    fn node_access(&mut self, table: Table<'_>) -> Option<NodeAccess> {
        let home = self.home;
        let address = self.of_node(table, "url", node_address);
        let cookie = self.of_node(table, "cookie_file", |field| path(field, home));
        let user = self.of_node(table, "user", optional_text);
        let password = self.of_node(table, "password", optional_text);
        let socket = self.of_node(table, "ipc", |field| node_socket(field, home));
        let provider = self.of_node(table, "template_provider", template_provider);
        let zmq = self.of_node(table, "zmq", zmq_addresses);
        let auth = self.node_auth(table, cookie?, user?, password?);
        Some(NodeAccess {
            address: address?,
            auth: auth?,
            zmq: zmq?,
            socket: socket?,
            template_provider: provider?,
        })
    }

    fn node_auth(
        &mut self,
        table: Table<'_>,
        cookie: Option<PathBuf>,
        user: Option<String>,
        password: Option<String>,
    ) -> Option<NodeAuth> {
        let (name, expected) = match (cookie, user, password) {
            (None, None, None) => return Some(NodeAuth::FindCookie),
            (Some(cookie), None, None) => return Some(NodeAuth::Cookie(cookie)),
            (None, Some(user), Some(password)) => {
                return Some(NodeAuth::UserPassword {
                    user,
                    password: Secret::new(&password),
                });
            }
            (Some(_), _, _) => (
                "cookie_file",
                "a node is told either a cookie or user and password; unset one of them".to_owned(),
            ),
            (None, Some(_), None) => ("user", format!("set {}.password too", table.section())),
            (None, None, Some(_)) => ("password", format!("set {}.user too", table.section())),
        };
        let error = self.node_field(table, name).refuse(expected);
        self.errors.push(error);
        None
    }

    /// A key of one node's table.
    fn of_node<T>(
        &mut self,
        table: Table<'_>,
        name: &'static str,
        read: impl FnOnce(&Field) -> Result<T, ConfigError>,
    ) -> Option<T> {
        let read = read(&self.node_field(table, name));
        read.map_err(|error| self.errors.push(error)).ok()
    }

    fn node_field(&self, table: Table<'_>, name: &'static str) -> Field {
        match table {
            Table::Preferred => self.fields.field("node", name),
            Table::Backup(backup) => match backup.field(name) {
                Some(field) => field.clone(),
                None => Field::default_of(BACKUP_NODE, name),
            },
        }
    }
}

impl Table<'_> {
    const fn section(self) -> &'static str {
        match self {
            Self::Preferred => "node",
            Self::Backup(_) => BACKUP_NODE,
        }
    }
}
