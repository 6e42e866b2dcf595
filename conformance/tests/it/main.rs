//! The built program against a real Bitcoin Core and other people's clients.

mod addresses;
mod block_list;
mod blocks;
mod by_hand;
mod check;
mod demo;
mod fee;
mod full_template;
mod hostile;
mod ipc;
mod late_blocks;
mod new_blocks;
mod node_down;
mod node_unfit;
mod peers;
mod proof;
mod restart;
mod several_nodes;
mod shares;
mod signalling;
mod sri;
mod start;
mod sv1;
mod template_provider;
mod v1_clients;
mod version_masks;
