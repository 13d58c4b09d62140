/** What tests run; the service itself starts at main.ts. */
export { catalogue } from './error-catalogue.ts'
export { MirrorSupervisor, type MirrorSupervisorDeps } from './mirror-supervisor.ts'
