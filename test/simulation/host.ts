/** A program of the world that can be started, killed, stopped and paused. */
export interface Host {
  readonly name: string
  /** Started and not killed or stopped since; it may still be booting. */
  readonly isUp: boolean
  start(): void
  /** kill -9; with `power` its host loses what was not synced, too. */
  kill(options?: { readonly power?: boolean }): void
  /** SIGTERM; afterwards `isUp` is false. */
  stop(): void
  /** SIGSTOP and SIGCONT. */
  pause(paused: boolean): void
}
