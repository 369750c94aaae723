import { runControlPlane } from './run-control-plane';

void runControlPlane();
