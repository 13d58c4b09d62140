/** Both sites as the checks see them, whatever runs them: a lab, or containers. */
export interface ServiceReader {
  /** The JSON that a service answers a path with; throws when it does not answer 2xx. */
  get<T>(name: 'tap-agent' | 'applier', path: string): Promise<T>
  /** The newest lines of their logs, shown when a condition is not reached. */
  readonly logTail: readonly string[]
}
