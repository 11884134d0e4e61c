"""Sets how the simulated bank behaves: `python -m services.bank.admin decline --user 1 --times 2`."""

import argparse
import sys

import grpc

from services.chassis.env import process_environment
from services.pb import bank_pb2 as pb
from services.pb import bank_pb2_grpc

BEHAVIOURS = {
    "approve": pb.APPROVE,
    "decline": pb.DECLINE,
    "hang": pb.HANG,
    "drop": pb.CHARGE_AND_DROP,
    "reset": pb.BEHAVIOUR_UNSPECIFIED,
}


def main() -> int:
    """Set one behaviour, and return the exit code."""
    parser = argparse.ArgumentParser(prog="bank", description="Sets how the simulated bank behaves.")
    parser.add_argument("behaviour", choices=BEHAVIOURS)
    whom = parser.add_mutually_exclusive_group()
    whom.add_argument("--user", type=int, help="this user's charges; without it and --checkout: everybody's")
    whom.add_argument("--checkout", help="this checkout's charge")
    parser.add_argument("--times", type=int, default=0, help="for how many charges; 0: until it is reset")
    given = parser.parse_args()
    if given.times < 0 or (given.user is not None and given.user < 1):
        parser.error("--user is positive, --times is not negative")
    request = pb.SetBehaviourRequest(behaviour=BEHAVIOURS[given.behaviour], times=given.times)
    if given.user:
        request.user_id = given.user
    elif given.checkout:
        request.checkout_id = given.checkout
    else:
        request.everyone = True
    address = process_environment().get("BANK_ADDR") or "127.0.0.1:50058"
    try:
        with grpc.insecure_channel(address) as channel:
            bank_pb2_grpc.BankAdminStub(channel).SetBehaviour(request, timeout=5)
    except grpc.RpcError as error:
        details = error.details() if isinstance(error, grpc.Call) else error
        sys.stderr.write(f"the bank at {address} refused: {details}\n")
        return 1
    sys.stdout.write(f"the bank will {given.behaviour}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
