import type { CallContext } from '@sever/enforcement';
import { boundaryName, type Called } from '@sever/protocol';
import { strictness } from '../config/strictness';
import { ruleFor, type Upstream } from '../sidecar-file';

/** As many tools of one server as hints are kept for; those of the others do not count. */
const REMEMBERED = 10_000;

/**
 * Which of a server's tools change something: what the config says first, then, where the config trusts the server,
 * what the server says. Whatever nobody has said anything about changes something; reading a resource or a prompt does
 * not.
 */
export class Effects {
  /** Tools that the server has listed, whoever asked for the list. */
  readonly listed = new Set<string>();
  private readonly readOnly = new Map<string, boolean>();

  constructor(
    private readonly upstream: Pick<Upstream, 'mode' | 'policy' | 'tools' | 'trustHints'>,
  ) {}

  /** A tool as `tools/list` describes it. */
  learn(tool: { readonly name: string; readonly annotations?: unknown }): void {
    if (this.listed.size < REMEMBERED) this.listed.add(tool.name);
    if (this.upstream.trustHints !== true) return;
    const { annotations } = tool;
    const says = typeof annotations === 'object' && annotations !== null ? annotations : {};
    if (!this.readOnly.has(tool.name) && this.readOnly.size >= REMEMBERED) return;
    // The newest word counts: a server that takes its hint back is believed at once.
    this.readOnly.set(tool.name, 'readOnlyHint' in says && says.readOnlyHint === true);
  }

  /** What a decision about it also goes by. */
  terms(called: Called): Pick<CallContext, 'effect' | 'mode' | 'policy'> {
    return { effect: this.of(called), ...strictness(this.upstream, boundaryName(called)) };
  }

  of(called: Called): NonNullable<CallContext['effect']> {
    const written = ruleFor(this.upstream, boundaryName(called))?.effect;
    if (written !== undefined) return written;
    if (called.kind === 'resource' || called.kind === 'prompt') return 'read';
    return called.kind === 'tool' && this.readOnly.get(called.name) === true ? 'read' : 'write';
  }
}
