import { announceKeySql } from './announce-key.sql';
import { appendSql } from './append.sql';
import { auditSql } from './audit.sql';
import { callsSql } from './calls.sql';
import { credentialSql } from './credential.sql';
import { denialSql } from './denial.sql';
import { emergencySql } from './emergency.sql';
import { epochSql } from './epoch.sql';
import { fenceSql } from './fence.sql';
import { haltKeySql } from './halt-key.sql';
import { mintSql } from './mint.sql';
import { planSql } from './plan.sql';
import { recordOrdersSql } from './record-orders.sql';
import { rehearseSql } from './rehearse.sql';
import { releaseSql } from './release.sql';
import { resolveSql } from './resolve.sql';
import { restoreSql } from './restore.sql';
import { revokeSql } from './revoke.sql';
import { spawnSql } from './spawn.sql';

/** Every function of the database, in an order in which each finds those it calls. */
export const FUNCTIONS: readonly string[] = [
  ...fenceSql,
  ...denialSql,
  ...auditSql,
  ...credentialSql,
  ...appendSql,
  ...announceKeySql,
  ...haltKeySql,
  ...spawnSql,
  ...mintSql,
  ...resolveSql,
  ...planSql,
  ...revokeSql,
  ...recordOrdersSql,
  ...releaseSql,
  ...epochSql,
  ...restoreSql,
  ...emergencySql,
  ...rehearseSql,
  ...callsSql,
];
