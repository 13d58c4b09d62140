import { cpus, release, totalmem } from 'node:os'

/** What a figure was measured on: without it, it is not worth much. */
export interface Machine {
  readonly cpuModel: string
  readonly cores: number
  readonly memoryBytes: number
  readonly kernel: string
  readonly node: string
}

export function describeMachine(): Machine {
  const processors = cpus()
  return {
    cpuModel: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
  }
}

export function machineLine({ cpuModel, cores, memoryBytes, kernel, node }: Machine): string {
  return `${cores} cores of ${cpuModel}, ${(memoryBytes / 1e9).toFixed(1)} GB of memory, Linux ${kernel}, Node ${node}`
}
