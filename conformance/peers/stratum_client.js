// Mines one block by the npm package `stratum-client`, which speaks the protocol: this script only
// hashes. Arguments: host, port, user. Prints the hash of the block that the pool accepted.
'use strict';

const { createHash } = require('node:crypto');
const stratum = require('stratum-client');

const [host, port, worker] = process.argv.slice(2);
const sha256d = (bytes) => {
  const once = createHash('sha256').update(bytes).digest();
  return createHash('sha256').update(once).digest();
};
const bytes = (digits) => Buffer.from(digits, 'hex');
const number = (digits) => bytes(digits).reverse();
// Eight words of four bytes, each with its bytes turned round.
const words = (digits) => bytes(digits).swap32();

const isBlock = (hash, bits) => {
  const compact = parseInt(bits, 16);
  const target = BigInt(compact & 0xffffff) << BigInt(8 * ((compact >>> 24) - 3));
  return BigInt(`0x${Buffer.from(hash).reverse().toString('hex')}`) <= target;
};

const solve = (work) => {
  const extranonce2 = '01'.repeat(work.extraNonce2Size);
  const coinbase = bytes(work.coinb1 + work.extraNonce1 + extranonce2 + work.coinb2);
  const root = work.merkle_branch.reduce(
    (left, right) => sha256d(Buffer.concat([left, bytes(right)])),
    sha256d(coinbase),
  );
  const nonce = Buffer.alloc(4);
  const before = Buffer.concat([
    number(work.version), words(work.prevhash), root, number(work.ntime), number(work.nbits),
  ]);
  for (let tried = 0; ; tried += 1) {
    nonce.writeUInt32LE(tried);
    const hash = sha256d(Buffer.concat([before, nonce]));
    if (isBlock(hash, work.nbits)) {
      return { extranonce2, nonce: tried.toString(16).padStart(8, '0'), hash };
    }
  }
};

let solution = null;
const client = stratum({
  server: host,
  port: Number(port),
  worker,
  password: 'x',
  autoReconnectOnError: false,
  onAuthorizeFail: (error) => {
    console.error('not authorized:', error);
    process.exit(1);
  },
  onNewMiningWork: (work) => {
    if (solution) return;
    solution = solve(work);
    client.submit({
      worker_name: worker,
      job_id: work.jobId,
      extranonce2: solution.extranonce2,
      ntime: work.ntime,
      nonce: solution.nonce,
    });
  },
  onSubmitWorkSuccess: () => {
    console.log(`block ${solution.hash.reverse().toString('hex')}`);
    client.shutdown();
  },
  onSubmitWorkFail: (error) => {
    console.error('refused:', error);
    process.exit(1);
  },
});
