import { createLogger, type Logger } from '@blockferry/runtime/service'
import { humanLine } from './human-line.ts'
import { LogFiles } from './log-file.ts'

/** Everything a lab's processes say: all of it to DIR/logs, what people need to standard error. */
export class LabLogs {
  readonly #files: LogFiles
  readonly #show: (line: string) => void
  /** The supervisor's own log, through the same two places. */
  readonly logger: Logger

  constructor(directory: string, show: (line: string) => void) {
    this.#files = new LogFiles(directory)
    this.#show = show
    const destination = { write: (text: string) => this.onLine('supervisor', text.trimEnd()) }
    this.logger = createLogger({ service: 'supervisor', destination })
  }

  onLine(name: string, line: string): void {
    this.#files.append(name, line)
    const text = humanLine(name, line, Date.now())
    if (text !== null) this.#show(`${text}\n`)
  }

  pathOf(name: string): string {
    return this.#files.pathOf(name)
  }

  async close(): Promise<void> {
    await this.#files.close()
  }
}
