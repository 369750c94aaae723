/** Pulses come twice a second; a broker from which nothing came for so long is not relied upon. */
const QUIET_MS = 1_500;

/**
 * What an enforcement point can tell of its broker. A connection that stands proves little: a frozen broker keeps its
 * sockets open, one that has lost the control plane is silent, and one that hears nobody still tells.
 */
export class BrokerHealth {
  private connected = false;
  private heardAt = -Infinity;
  private unanswered = false;

  connectedAt(mono: number): void {
    this.connected = true;
    this.heardAt = mono;
    this.unanswered = false;
  }

  lost(): void {
    this.connected = false;
  }

  heard(mono: number): void {
    this.heardAt = mono;
  }

  answered(mono: number): void {
    this.heardAt = mono;
    this.unanswered = false;
  }

  /** A request was not answered in time. Only an answer makes up for that. */
  missed(): void {
    this.unanswered = true;
  }

  get isConnected(): boolean {
    return this.connected;
  }

  isWell(mono: number): boolean {
    return this.connected && !this.unanswered && mono - this.heardAt < QUIET_MS;
  }
}
