import { orderStanding, revokedAndLiving } from '../../src/enforcement/containment-rules';
import { judgeLease, leaseGrant } from '../../src/enforcement/lease-rules';
import { judgeReceipt } from '../../src/enforcement/receipt-rules';
import { entryRefusal } from '../../src/stream/boot-rules';
import { leftUntilSettled } from '../../src/stream/epochs';
import { RelayCursor } from '../../src/stream/relay-cursor';
import { newsAnswer, rangeAnswer } from '../../src/stream/stream-answers';

/** What the control plane itself runs, by reference: a mistake in one of these is a mistake in the model. */
export interface ControlPlaneLogic {
  readonly RelayCursor: typeof RelayCursor;
  readonly judgeLease: typeof judgeLease;
  readonly leaseGrant: typeof leaseGrant;
  readonly judgeReceipt: typeof judgeReceipt;
  readonly entryRefusal: typeof entryRefusal;
  readonly rangeAnswer: typeof rangeAnswer;
  readonly newsAnswer: typeof newsAnswer;
  readonly orderStanding: typeof orderStanding;
  readonly revokedAndLiving: typeof revokedAndLiving;
  readonly leftUntilSettled: typeof leftUntilSettled;
}

export const SERVER: ControlPlaneLogic = {
  RelayCursor,
  judgeLease,
  leaseGrant,
  judgeReceipt,
  entryRefusal,
  rangeAnswer,
  newsAnswer,
  orderStanding,
  revokedAndLiving,
  leftUntilSettled,
};
