import { TenantsAndAccess1000000000001 } from './0001-tenants-and-access';
import { SpawnTree1000000000002 } from './0002-spawn-tree';
import { RevocationStream1000000000003 } from './0003-revocation-stream';
import { Enforcement1000000000004 } from './0004-enforcement';
import { RowLevelSecurity1000000000005 } from './0005-row-level-security';
import { Functions1000000000006 } from './0006-functions';
import { BrokerUsers1000000000007 } from './0007-broker-users';
import { Orders1000000000008 } from './0008-orders';
import { Epochs1000000000009 } from './0009-epochs';
import { Emergencies1000000000010 } from './0010-emergencies';
import { HaltKeys1000000000012 } from './0012-halt-keys';
import { Drills1000000000013 } from './0013-drills';
import { StaleAdmissions1000000000014 } from './0014-stale-admissions';
import { Calls1000000000015 } from './0015-calls';
import { UnknownCallers1000000000016 } from './0016-unknown-callers';
import { Served1000000000017 } from './0017-served';

export const MIGRATIONS = [
  TenantsAndAccess1000000000001,
  SpawnTree1000000000002,
  RevocationStream1000000000003,
  Enforcement1000000000004,
  RowLevelSecurity1000000000005,
  Functions1000000000006,
  BrokerUsers1000000000007,
  Orders1000000000008,
  Epochs1000000000009,
  Emergencies1000000000010,
  HaltKeys1000000000012,
  Drills1000000000013,
  StaleAdmissions1000000000014,
  Calls1000000000015,
  UnknownCallers1000000000016,
  Served1000000000017,
];
